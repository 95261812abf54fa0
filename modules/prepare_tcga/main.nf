// TCGA files of the GDC as downloaded -> samplesheet, covariates and one table of counts, with every slide's join on record.
process PREPARE_TCGA {
    label 'process_single'

    container "histogex/stats:0.1.0-cpu"

    input:
    path tables, stageAs: 'tables?/*'  // sample sheets and a clinical table: what each is, its header tells
    path counts, stageAs: 'counts/*'   // files of STAR counts
    val found                          // text: paths of slide files and of the folder's other files, one a line
    val kinds                          // slides to use: ffpe, frozen, all

    output:
    path 'samplesheet.csv', emit: samplesheet
    path 'expression.parquet', emit: expression
    path 'covariates.tsv', emit: covariates
    path 'join_report.tsv', emit: joins
    path 'tcga.dropped.tsv', emit: dropped
    path 'versions.yml', emit: versions

    script:
    """
    # bin: hx_cli.py hx_covariates.py hx_formats.py hx_io.py hx_join.py hx_tcga.py
    cat > found.txt << 'END_OF_LIST'
    ${found.replace('\n', '\n    ')}
    END_OF_LIST

    prepare_tcga.py \\
        --tables ${tables} \\
        --counts counts/* \\
        --found found.txt \\
        --slides ${kinds} \\
        --outdir .

    hx_versions.py --process '${task.process}' pandas pyarrow > versions.yml
    """

    stub:
    """
    printf 'sample,donor,tissue,slide,rna_sample\\nTCGA-XX-STUB-01Z-00-DX1,TCGA-XX-STUB,TCGA-STUB primary,,TCGA-XX-STUB-01A\\n' > samplesheet.csv
    touch expression.parquet
    printf 'sample\\tdonor\\n' > covariates.tsv
    printf 'slide\\trule\\n' > join_report.tsv
    printf 'id\\tkind\\tstage\\treason\\n' > tcga.dropped.tsv
    echo '"PREPARE_TCGA": {python: stub}' > versions.yml
    """
}
