// The tables that the report draws: collects what the stages found and lost; recomputes nothing but the planted truths.
process SUMMARISE {
    label 'process_low'

    container "${params.container_registry}histogex/stats:0.1.0-cpu"

    input:
    path cohort, stageAs: 'cohort/*'             // slides.tsv, cohort.tsv, matching.tsv
    path dropped, stageAs: 'dropped?/*'
    path status, stageAs: 'slides/*'             // slide_status.tsv, or []
    path associations, stageAs: 'associations/*' // *.association_summary.tsv, *.association_qq.tsv, *.association_genes.parquet, *.associations.parquet
    path features, stageAs: 'features/*'         // *.h5ad, read for the planted truths
    path expression, stageAs: 'expression/*'     // *.expression.h5ad, likewise
    path truth                                   // truth.json, or []

    output:
    path 'summary/*', emit: tables
    path 'multiqc/*_mqc.json', emit: sections
    path 'versions.yml', emit: versions

    script:
    def with_truth = truth ? "--truth ${truth}" : ''
    def with_status = status ? "--status ${status}" : ''
    """
    # bin: @@summarise@@
    summarise.py \\
        --cohort cohort \\
        --dropped ${dropped} ${with_status} \\
        --associations associations \\
        --features features \\
        --expression expression ${with_truth} \\
        --outdir .

    hx_versions.py --process '${task.process}' anndata numpy pandas pyarrow scipy > versions.yml
    """

    stub:
    """
    mkdir -p summary multiqc
    printf 'tissue_id\\n' > summary/verdict.tsv
    echo '{"id": "verdict", "plot_type": "html", "data": "stub"}' > multiqc/verdict_mqc.json
    echo '"SUMMARISE": {python: stub}' > versions.yml
    """
}
