// Labels of donors (pathology, clinical columns, cell types) against image features, and predicted from image,
// expression and confounders in donors left out: one task works through the encoders and aggregations of a tissue and size.
process ASSOCIATE_ANNOTATIONS {
    tag "${meta.id}"
    label 'process_low'

    container "histogex/stats:0.1.0-cpu"

    // design: covariates of the model by donor, or []. table: rows of cohort.tsv of the tissue, with folds and labels.
    // annotations: tables of labels, or []. cell_fractions: fractions of cell types, or [].
    input:
    tuple val(meta), path(features), path(expression), path(design), val(table)
    path annotations, stageAs: 'annotations?/*'
    path cell_fractions
    val settings // map: aggregations, primary, annotation_permutations, alpha, seed

    output:
    tuple val(meta), path("${meta.id}.annotation_features.parquet"), emit: features
    tuple val(meta), path("${meta.id}.label_values.tsv"), emit: values // by donor: for TEST_CAUSALITY alone
    path "${meta.id}.annotation_{labels,summary,top,prediction,fractions}.tsv", emit: tables
    path "${meta.id}.associate_annotations.dropped.tsv", emit: dropped
    path 'versions.yml', emit: versions

    script:
    def model = design ? "--design ${design}" : ''
    def labels = annotations ? "--annotations ${annotations}" : ''
    def cells = cell_fractions ? "--cell-fractions ${cell_fractions}" : ''
    """
    # bin: hx_annotation_files.py hx_annotation_fractions.py hx_annotation_labels.py hx_annotation_predict.py hx_annotation_tables.py hx_annotation_tests.py hx_arguments.py hx_association.py hx_cli.py hx_covariates.py hx_design.py hx_directions.py hx_donors.py hx_expression.py hx_factor_cells.py hx_factor_levels.py hx_factor_tests.py hx_factors.py hx_fdr.py hx_gene_lists.py hx_gtex_tables.py hx_io.py hx_join.py hx_layout.py hx_linear.py hx_matrix.py hx_matrix_base.py hx_matrix_text.py hx_null.py hx_pathology.py hx_predict.py hx_predict_scale.py hx_pvalue.py hx_rows.py hx_scan.py hx_splines.py hx_units.py hx_variance.py
    cat > cohort.tsv << 'END_OF_TABLE'
    ${table.replace('\n', '\n    ')}
    END_OF_TABLE

    associate_annotations.py \\
        --features ${features} \\
        --expression ${expression} ${model} ${labels} ${cells} \\
        --table cohort.tsv \\
        --setting-prefix ${meta.id} \\
        --aggregations ${settings.aggregations} \\
        --primary=${settings.primary} \\
        --permutations ${settings.annotation_permutations} \\
        --alpha ${settings.alpha} \\
        --seed ${settings.seed} \\
        --threads ${task.cpus} \\
        --outdir .

    hx_versions.py --process '${task.process}' anndata numpy pandas pyarrow scipy > versions.yml
    """

    stub:
    """
    touch ${meta.id}.annotation_features.parquet
    printf 'donor\\n' > ${meta.id}.label_values.tsv
    for name in labels summary top prediction fractions; do printf 'setting\\n' > ${meta.id}.annotation_\$name.tsv; done
    printf 'id\\tkind\\tstage\\treason\\n' > ${meta.id}.associate_annotations.dropped.tsv
    echo '"ASSOCIATE_ANNOTATIONS": {python: stub}' > versions.yml
    """
}
