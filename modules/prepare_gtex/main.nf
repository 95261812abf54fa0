// GTEx files as downloaded -> samplesheet, covariates and pathology, with every slide's join on record.
process PREPARE_GTEX {
    label 'process_single'

    container "histogex/stats:0.1.0-cpu"

    input:
    path gtex, stageAs: 'gtex/*'              // tables and expression files of the folder: what each is, its header tells
    path expression, stageAs: 'expression?/*' // expression files to use in place of the folder's, or []
    path lists, stageAs: 'lists?/*'           // tables whose slides to use, or []
    val found                                 // text: paths of slide files and of the folder's other files, one a line
    val donor_tissue                          // slides whose piece has no RNA take that of the donor's tissue

    output:
    path 'samplesheet.csv', emit: samplesheet
    path 'covariates.tsv', emit: covariates
    path 'join_report.tsv', emit: joins
    path 'gtex_files.tsv', emit: files
    path 'gtex.dropped.tsv', emit: dropped
    path 'annotation*.tsv', emit: annotations, optional: true
    path 'versions.yml', emit: versions

    script:
    def with_files = gtex ? "--files ${gtex}" : ''
    def with_expression = expression ? "--expression ${expression}" : ''
    def with_lists = lists ? "--slides ${lists}" : ''
    def by_tissue = donor_tissue ? '--donor-tissue' : ''
    """
    # bin: hx_cli.py hx_covariates.py hx_expression.py hx_formats.py hx_gene_lists.py hx_gtex_files.py hx_gtex_join.py hx_gtex_slides.py hx_gtex_tables.py hx_io.py hx_join.py hx_matrix.py hx_matrix_base.py hx_matrix_text.py hx_pathology.py hx_units.py
    cat > found.txt << 'END_OF_LIST'
    ${found.replace('\n', '\n    ')}
    END_OF_LIST

    prepare_gtex.py ${with_files} ${with_expression} ${with_lists} ${by_tissue} \\
        --found found.txt \\
        --outdir .

    hx_versions.py --process '${task.process}' pandas pyarrow > versions.yml
    """

    stub:
    """
    printf 'sample,donor,tissue,slide,rna_sample\\nGTEX-STUB1-0126,GTEX-STUB1,Lung,,GTEX-STUB1-0126-SM-STUB1\\n' > samplesheet.csv
    printf 'donor\\tsex\\n' > covariates.tsv
    printf 'sample\\trule\\n' > join_report.tsv
    printf 'file\\trole\\tnote\\n' > gtex_files.tsv
    printf 'id\\tkind\\tstage\\treason\\n' > gtex.dropped.tsv
    echo '"PREPARE_GTEX": {python: stub}' > versions.yml
    """
}
