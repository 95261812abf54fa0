// Slide summaries (or tables of slide-level features) of a tissue -> one row a donor, all encoders.
process AGGREGATE_FEATURES {
    tag "${meta.id}"
    label 'process_single'

    container "histogex/stats:0.1.0-cpu"

    // meta.sizes, where given: all patch sizes of the run, comma-separated, to mark the donors that have each.
    // status: text of the tissue's rows of slide_status.tsv, or ''. splits: table of the donors whom the classifier of
    // this size was trained on, or [].
    input:
    tuple val(meta), val(table), val(status), path(sources, stageAs: 'sources?/*'), path(splits)
    val features_name // encoder name of a feature table; '' for summaries

    output:
    tuple val(meta), path("${meta.id}.h5ad"), emit: features, optional: true
    path "${meta.id}.aggregate.dropped.tsv", emit: dropped
    path "${meta.id}.feature_summary.tsv", emit: summary
    path "${meta.id}.feature_histograms.tsv", emit: histograms
    path 'versions.yml', emit: versions

    script:
    def from = features_name ? "--tables ${sources} --features-name ${features_name}" : '--summaries .'
    def with_status = status ? '--slide-status status.tsv' : ''
    def with_splits = splits ? "--training-donors ${splits}" : ''
    def with_sizes = meta.sizes && !features_name ? "--sizes ${meta.sizes}" : ''
    """
    # bin: hx_cli.py hx_companions.py hx_feature_table.py hx_features.py hx_io.py hx_join.py hx_linear.py hx_pool.py hx_reliability.py hx_rows.py hx_sizes.py hx_slide_factors.py
    cat > cohort.tsv << 'END_OF_TABLE'
    ${table.replace('\n', '\n    ')}
    END_OF_TABLE
    cat > status.tsv << 'END_OF_TABLE'
    ${status.replace('\n', '\n    ')}
    END_OF_TABLE

    aggregate_features.py \\
        --cohort cohort.tsv \\
        --tissue-id ${meta.tissue_id} \\
        --size ${meta.size} ${from} ${with_sizes} ${with_status} ${with_splits} \\
        --out ${meta.id}.h5ad \\
        --dropped ${meta.id}.aggregate.dropped.tsv \\
        --feature-summary ${meta.id}.feature_summary.tsv \\
        --feature-histograms ${meta.id}.feature_histograms.tsv

    hx_versions.py --process '${task.process}' anndata h5py numpy pandas > versions.yml
    """

    stub:
    """
    touch ${meta.id}.h5ad ${meta.id}.feature_summary.tsv ${meta.id}.feature_histograms.tsv
    printf 'id\\tkind\\tstage\\treason\\n' > ${meta.id}.aggregate.dropped.tsv
    echo '"AGGREGATE_FEATURES": {python: stub}' > versions.yml
    """
}
