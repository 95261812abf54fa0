// One self-contained report.
process MULTIQC {
    label 'process_single'

    container "${params.container_registry}histogex/report:0.1.0-cpu"

    input:
    path sections, stageAs: 'sections?/*'
    path config

    output:
    path 'multiqc_report.html', emit: report
    path 'multiqc_report_data', emit: data
    path 'versions.yml', emit: versions

    script:
    """
    # bin: hx_cli.py
    multiqc \\
        --force \\
        --no-version-check \\
        --config ${config} \\
        --filename multiqc_report.html \\
        .

    hx_versions.py --process '${task.process}' multiqc > versions.yml
    """

    stub:
    """
    touch multiqc_report.html
    mkdir multiqc_report_data
    echo '"MULTIQC": {multiqc: stub}' > versions.yml
    """
}
