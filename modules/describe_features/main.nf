// One sentence on what each feature of the best hits sees, and the slides and patches that show it: a task a tissue, at
// the size of the primary setting.
process DESCRIBE_FEATURES {
    tag "${meta.id}"
    label 'process_low'

    container "histogex/stats:0.1.0-cpu"

    // genes: <tissue_id>.<size>.association_genes.parquet, or []. summaries: of all slides of the tissue, or [].
    input:
    tuple val(meta), path(features), path(genes), path(summaries, stageAs: 'summaries/*')
    path annotations // pathology, a row a slide, or []
    val settings     // map: primary, describe_features, patch_sizes, map_slides, seed

    output:
    tuple val(meta), path("${meta.id}.{description*,gallery_*,drawn_slides,feature_*}.tsv"), emit: tables
    tuple val(meta), path("${meta.id}.drawn_slides.tsv"), emit: drawn, optional: true
    path "${meta.id}.describe_features.dropped.tsv", emit: dropped
    path 'versions.yml', emit: versions

    script:
    def with_genes = genes ? "--associations ${genes}" : ''
    def with_slides = summaries ? "--summaries summaries --sizes ${settings.patch_sizes}" : ''
    def with_annotations = annotations ? "--annotations ${annotations}" : ''
    // Names of features come from a table's header: the shell must not read them.
    def named = (settings.describe_features ?: '').replace("'", "'\\''")
    """
    # bin: hx_candidates.py hx_choice.py hx_cli.py hx_companions.py hx_describe.py hx_donors.py hx_expression.py hx_factor_cells.py hx_factor_levels.py hx_factors.py hx_feature_tree.py hx_features.py hx_gallery.py hx_gene_lists.py hx_io.py hx_join.py hx_linear.py hx_matrix.py hx_matrix_base.py hx_matrix_text.py hx_sentences.py hx_sizes.py hx_units.py hx_variance.py
    describe_features.py \\
        --features ${features} \\
        --setting-prefix ${meta.id} \\
        --primary=${settings.primary} ${with_genes} ${with_slides} ${with_annotations} \\
        --describe='${named}' \\
        --map-slides ${settings.map_slides} \\
        --seed ${settings.seed} \\
        --outdir .

    hx_versions.py --process '${task.process}' anndata h5py numpy pandas scipy > versions.yml
    """

    stub:
    """
    printf 'setting\\tfeature\\tsentence\\n' > ${meta.id}.descriptions.tsv
    printf 'sample\\tdonor\\tfold\\tpictures\\tmap\\n' > ${meta.id}.drawn_slides.tsv
    printf 'id\\tkind\\tstage\\treason\\n' > ${meta.id}.describe_features.dropped.tsv
    echo '"DESCRIBE_FEATURES": {python: stub}' > versions.yml
    """
}
