// A cohort with planted truth: slides, GTEx-format tables, genotypes, gene sets, and truth.json.
process SIMULATE_COHORT {
    tag "${mode}"
    label 'process_medium'

    container "histogex/slides:0.1.0-cpu"

    input:
    val mode
    val size      // [tissues, donors, slide side in pixels]
    val ischaemia // [reliability of the record, acts quadratically]
    val seed

    output:
    path 'cohort/samplesheet.csv', emit: samplesheet
    path 'cohort/slides/*', emit: slides
    path 'cohort/gene_tpm.gct.gz', emit: expression
    path 'cohort/{sample_attributes,subject_phenotypes}.txt', emit: covariates
    path 'cohort/genotypes.vcf.gz', emit: genotypes
    path 'cohort/gene_positions.tsv', emit: gene_positions
    path 'cohort/gene_sets.gmt', emit: gene_sets
    path 'cohort/pathology.csv', emit: pathology
    path 'cohort/truth.json', emit: truth
    path 'versions.yml', emit: versions

    script:
    def quadratic = ischaemia[1] ? '--quadratic' : ''
    """
    # bin: hx_build.py hx_cli.py hx_cohort_model.py hx_cohort_tables.py hx_draw.py hx_io.py hx_pyramid.py hx_texture.py
    simulate_cohort.py \\
        --mode ${mode} \\
        --tissues ${size[0]} \\
        --donors ${size[1]} \\
        --slide-px ${size[2]} \\
        --reliability ${ischaemia[0]} ${quadratic} \\
        --seed ${seed} \\
        --threads ${task.cpus} \\
        --outdir cohort

    hx_versions.py --process '${task.process}' numpy opencv-python-headless tifffile > versions.yml
    """

    stub:
    """
    mkdir -p cohort/slides
    printf 'sample,donor,tissue,slide\\nGTEX-STUB1-0126,GTEX-STUB1,Lung,slides/GTEX-STUB1-0126.tif\\n' > cohort/samplesheet.csv
    touch cohort/slides/GTEX-STUB1-0126.tif cohort/gene_tpm.gct.gz cohort/sample_attributes.txt cohort/subject_phenotypes.txt
    touch cohort/genotypes.vcf.gz cohort/gene_positions.tsv cohort/gene_sets.gmt cohort/pathology.csv
    echo '{}' > cohort/truth.json
    echo '"SIMULATE_COHORT": {python: stub}' > versions.yml
    """
}
