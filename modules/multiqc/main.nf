// One self-contained report.
process MULTIQC {
    label 'process_single'

    container "histogex/report:0.1.0-cpu"

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
    # A third of the page is a second copy of all its text, for summaries by language models, which are switched off.
    sed -E \\
        -e 's/^(aiReportMetadataBase64 = )"[^"]*"/\\1"e30="/' \\
        -e 's/^(aiPseudonymMap = JSON.parse\\(atob\\()"[^"]*"/\\1"e30="/' \\
        multiqc_report.html > trimmed.html
    mv trimmed.html multiqc_report.html

    hx_versions.py --process '${task.process}' multiqc > versions.yml
    """

    stub:
    """
    touch multiqc_report.html
    mkdir multiqc_report_data
    echo '"MULTIQC": {multiqc: stub}' > versions.yml
    """
}
