// Associations of one tissue, patch size or cohort looked up in another.
process COMPARE_ASSOCIATIONS {
    tag "${meta.id}"
    label 'process_single'

    container "histogex/stats:0.1.0-cpu"

    // across: what the sides differ in, one of tissues, sizes, cohorts. results: features, expression, models and
    // associations (pairs and genes) of all sides; replication: the same of a second cohort, or [].
    input:
    tuple val(meta), val(across), path(results, stageAs: 'results/*'), path(replication, stageAs: 'replication/*')
    val settings // map: alpha

    output:
    path "${meta.id}.sharing.tsv", emit: tables
    path 'versions.yml', emit: versions

    script:
    def second = replication ? '--replication replication' : ''
    """
    # bin: hx_cli.py hx_donors.py hx_io.py hx_join.py hx_linear.py hx_overlap.py hx_pvalue.py hx_results.py hx_sharing.py
    compare_associations.py \\
        --results results ${second} \\
        --across ${across} \\
        --alpha ${settings.alpha} \\
        --out ${meta.id}.sharing.tsv

    hx_versions.py --process '${task.process}' anndata numpy pandas pyarrow scipy > versions.yml
    """

    stub:
    """
    printf 'across\\tencoder\\n' > ${meta.id}.sharing.tsv
    echo '"COMPARE_ASSOCIATIONS": {python: stub}' > versions.yml
    """
}
