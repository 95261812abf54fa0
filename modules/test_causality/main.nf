// Whether a gene acts on a feature, the feature on the gene, or neither on the other, by cross-fitted variants of the
// cohort and by those of other studies: a tissue at its declared size.
process TEST_CAUSALITY {
    tag "${meta.id}"
    label 'process_medium'

    container "histogex/stats:0.1.0-cpu"

    // design: covariates of the model by donor. associations: <prefix>.association_genes.parquet, whose genes found are the
    // pairs where `pairs` is []. genotypes, positions, pairs, summaries (a list), annotations: [] where there is none.
    input:
    tuple val(meta), path(features), path(expression), path(design), path(associations), path(annotations)
    path genotypes
    path positions
    path pairs
    path summaries, stageAs: 'summaries/*'
    val settings // map: primary, causality_top, qtl_min_mac, qtl_min_maf, alpha, seed

    output:
    path "${meta.id}.causality_{pairs,estimates,assumptions,instruments,sources}.tsv", emit: tables
    path "${meta.id}.test_causality.dropped.tsv", emit: dropped
    path 'versions.yml', emit: versions

    script:
    def given = [
        genotypes ? "--genotypes ${genotypes}" : '',
        positions ? "--positions ${positions}" : '',
        pairs ? "--pairs ${pairs}" : "--associations ${associations}",
        summaries ? "--summaries ${summaries}" : '',
        annotations ? "--annotations ${annotations}" : '',
    ].findAll { option -> option }.join(' ')
    """
    # bin: hx_arguments.py hx_build.py hx_causality.py hx_causality_external.py hx_causality_frame.py hx_causality_sources.py hx_causality_tables.py hx_causality_traits.py hx_causality_variants.py hx_cli.py hx_donors.py hx_expression.py hx_factor_pcs.py hx_fdr.py hx_gene_lists.py hx_genotypes.py hx_io.py hx_join.py hx_linear.py hx_matrix.py hx_matrix_base.py hx_matrix_text.py hx_mixture.py hx_mr.py hx_mr_alleles.py hx_mr_coloc.py hx_mr_crossfit.py hx_mr_one_sample.py hx_parallel.py hx_pc_pairs.py hx_positions.py hx_pvalue.py hx_qtl.py hx_qtl_donors.py hx_qtl_traits.py hx_scan.py hx_units.py hx_variance.py
    test_causality.py \\
        --features ${features} \\
        --expression ${expression} \\
        --design ${design} \\
        --setting-prefix ${meta.id} \\
        --primary=${settings.primary} \\
        ${given} \\
        --top ${settings.causality_top} \\
        --min-mac ${settings.qtl_min_mac} \\
        --min-maf ${settings.qtl_min_maf} \\
        --alpha ${settings.alpha} \\
        --seed ${settings.seed} \\
        --threads ${task.cpus} \\
        --outdir .

    hx_versions.py --process '${task.process}' anndata h5py numpy pandas pyarrow scipy > versions.yml
    """

    stub:
    """
    for name in pairs estimates assumptions instruments sources; do printf 'setting\\n' > ${meta.id}.causality_\$name.tsv; done
    printf 'id\\tkind\\tstage\\treason\\n' > ${meta.id}.test_causality.dropped.tsv
    echo '"TEST_CAUSALITY": {python: stub}' > versions.yml
    """
}
