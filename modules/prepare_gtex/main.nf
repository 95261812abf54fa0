// GTEx files as downloaded -> samplesheet and covariates, with every slide's join on record.
process PREPARE_GTEX {
    label 'process_single'

    container "${params.container_registry}histogex/stats:0.1.0-cpu"

    input:
    path expression, stageAs: 'expression/*'
    path subjects
    path attributes
    path slides, stageAs: 'slides/*'

    output:
    path 'samplesheet.csv', emit: samplesheet
    path 'covariates.tsv', emit: covariates
    path 'join_report.tsv', emit: joins
    path 'gtex.dropped.tsv', emit: dropped
    path 'versions.yml', emit: versions

    script:
    def with_attributes = attributes ? "--attributes ${attributes}" : ''
    """
    # bin: hx_cli.py hx_covariates.py hx_expression.py hx_io.py hx_join.py hx_matrix.py
    prepare_gtex.py \\
        --expression ${expression} \\
        --subjects ${subjects} ${with_attributes} \\
        --slides ${slides} \\
        --outdir .

    hx_versions.py --process '${task.process}' pandas > versions.yml
    """

    stub:
    """
    printf 'sample,donor,tissue,slide,rna_sample\\nGTEX-STUB1-0126,GTEX-STUB1,Lung,,GTEX-STUB1-0126-SM-STUB1\\n' > samplesheet.csv
    printf 'donor\\tsex\\n' > covariates.tsv
    printf 'sample\\trule\\n' > join_report.tsv
    printf 'id\\tkind\\tstage\\treason\\n' > gtex.dropped.tsv
    echo '"PREPARE_GTEX": {python: stub}' > versions.yml
    """
}
