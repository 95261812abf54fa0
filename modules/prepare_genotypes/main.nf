// Genotypes of the cohort's donors: matched, checked, without close relatives, with their principal components.
process PREPARE_GENOTYPES {
    label 'process_low'

    container "histogex/stats:0.1.0-cpu"

    input:
    path genotypes, stageAs: 'genotypes/*' // VCF, BCF, or .bed with its .bim and .fam
    val donors                             // text: donors of the cohort, one a line
    path positions, stageAs: 'positions/*' // gene positions, whose build is compared, or []
    val settings                           // map: build

    output:
    path 'genotypes.h5', emit: genotypes
    path 'genotype_pcs.tsv', emit: pcs
    path 'genotype_{counts,relatives}.tsv', emit: tables
    path 'prepare_genotypes.dropped.tsv', emit: dropped
    path 'versions.yml', emit: versions

    script:
    def with_positions = positions ? "--positions ${positions}" : ''
    """
    # bin: hx_build.py hx_cli.py hx_gene_lists.py hx_genotype_blocks.py hx_genotype_files.py hx_genotype_sites.py hx_genotypes.py hx_hwe.py hx_io.py hx_join.py hx_kinship.py hx_ld.py hx_positions.py
    cat > donors.txt << 'END_OF_LIST'
    ${donors.replace('\n', '\n    ')}
    END_OF_LIST

    prepare_genotypes.py \\
        --genotypes ${genotypes} \\
        --donors donors.txt \\
        --build ${settings.build} ${with_positions} \\
        --threads ${task.cpus} \\
        --outdir .

    hx_versions.py --process '${task.process}' bed-reader cyvcf2 h5py numpy pandas scipy > versions.yml
    """

    stub:
    """
    touch genotypes.h5
    printf 'donor\\n' > genotype_pcs.tsv
    printf 'item\\tunit\\tcount\\tmeaning\\n' > genotype_counts.tsv
    printf 'donor1\\tdonor2\\tkinship\\trelation\\tdropped\\n' > genotype_relatives.tsv
    printf 'id\\tkind\\tstage\\treason\\n' > prepare_genotypes.dropped.tsv
    echo '"PREPARE_GENOTYPES": {python: stub}' > versions.yml
    """
}
