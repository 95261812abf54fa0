// Join slides, donors and RNA samples; folds and batches; every loss in dropped.tsv, every fault of the input at once.
process CHECK_COHORT {
    label 'process_single'

    container "histogex/stats:0.1.0-cpu"

    input:
    path samplesheet
    path features, stageAs: 'features?/*'
    val missing   // text of a table: sample, reason
    path expression, stageAs: 'expression?/*' // [] where it is to be predicted
    path covariates, stageAs: 'covariates?/*'
    path exclude
    val settings  // [expression unit, tissues, slide batches, seed, slides are opened]

    output:
    path 'slides.tsv', emit: slides
    path 'cohort.tsv', emit: cohort
    path 'matching.tsv', emit: matching
    path '{covariate_summary,covariates_by_tissue,exclusions}.tsv', emit: tables
    path 'dropped.tsv', emit: dropped
    path 'versions.yml', emit: versions

    script:
    def with_expression = expression ? "--expression ${expression} --expression-unit ${settings[0]}" : ''
    def with_sheet = samplesheet ? "--samplesheet ${samplesheet}" : ''
    def with_features = features ? "--features ${features}" : ''
    def with_covariates = covariates ? "--covariates ${covariates}" : ''
    def optional = settings[4] ? '' : '--slide-optional'
    def with_exclude = exclude ? "--exclude ${exclude}" : ''
    def with_tissues = settings[1] ? "--tissues '${settings[1].replace("'", '')}'" : ''
    """
    # bin: hx_cli.py hx_cohort.py hx_covariate_tables.py hx_covariates.py hx_expression.py hx_factor_cells.py hx_factor_levels.py hx_factors.py hx_formats.py hx_gene_lists.py hx_io.py hx_join.py hx_matrix.py hx_matrix_base.py hx_matrix_text.py hx_sheet.py hx_units.py
    cat > missing.tsv << 'END_OF_TABLE'
    ${missing.replace('\n', '\n    ')}
    END_OF_TABLE

    check_cohort.py ${with_sheet} ${with_features} ${optional} \\
        --missing missing.tsv ${with_expression} ${with_covariates} ${with_exclude} ${with_tissues} \\
        --slide-batches ${settings[2]} \\
        --seed ${settings[3]} \\
        --outdir .

    hx_versions.py --process '${task.process}' pandas pyarrow anndata > versions.yml
    """

    stub:
    """
    printf 'sample\\tdonor\\ttissue\\ttissue_id\\tslide\\tmpp\\ttissue_geojson\\texcluded\\tfold\\tbatch\\n' > slides.tsv
    printf 'donor\\ttissue\\ttissue_id\\tsamples\\trna_sample\\tfold\\n' > cohort.tsv
    for tissue in Lung Spleen; do
        printf "S1-\$tissue\\tD1\\t\$tissue\\t\$tissue\\tslides/S1-\$tissue.tif\\t0.5\\t\\tno\\t0\\t\$tissue.b0\\n" >> slides.tsv
        printf "D1\\t\$tissue\\t\$tissue\\tS1-\$tissue\\tR1-\$tissue\\t0\\n" >> cohort.tsv
    done
    printf 'tissue_id\\tdonors\\nLung\\t1\\nSpleen\\t1\\n' > matching.tsv
    printf 'id\\tkind\\tstage\\treason\\n' > dropped.tsv
    printf 'tissue_id\\tcolumn\\tgroup\\tkind\\tn\\tmissing\\tused\\treason\\n' > covariate_summary.tsv
    printf 'tissue_id\\tcolumn\\tlevel\\tstatistic\\tvalue\\n' > covariates_by_tissue.tsv
    printf 'id\\tkind\\tslides\\n' > exclusions.tsv
    echo '"CHECK_COHORT": {python: stub}' > versions.yml
    """
}
