// The explorer: a page and its data, which open from a folder without a server or a network.
process BUILD_EXPLORER {
    label 'process_low'

    container "histogex/stats:0.1.0-cpu"

    input:
    path cohort, stageAs: 'run/cohort/*'         // slides.tsv, cohort.tsv
    path tables, stageAs: 'run/tables/*'         // tables of all stages: <tissue_id>.<size>.<kind>.{tsv,parquet}
    path features, stageAs: 'features/*'         // <tissue_id>.<size>.h5ad: values behind a pair
    path expression, stageAs: 'expression/*'     // <tissue_id>.expression.h5ad, likewise
    path page, stageAs: 'page/*'                 // files of assets/explorer/
    path pseudonyms, stageAs: 'pseudonyms/*'     // donor, pseudonym; or []
    val pictures                                 // of DRAW_FEATURES, as published below description/
    val primary                                  // size,encoder,aggregation that the verdict speaks of
    val skipped                                  // stages that were left out, as 'stage: why'
    val disclosure                               // internal or shareable

    output:
    path 'explorer/**', emit: explorer
    path 'versions.yml', emit: versions

    script:
    def named = pseudonyms ? "--pseudonyms ${pseudonyms}" : ''
    def left_out = skipped ? "--skipped ${skipped.collect { stage -> "'${stage}'" }.join(' ')}" : ''
    """
    # bin: hx_association.py hx_bins.py hx_cli.py hx_disclosure.py hx_donors.py hx_explorer_data.py hx_explorer_files.py hx_explorer_index.py hx_explorer_points.py hx_explorer_tables.py hx_explorer_traits.py hx_fdr.py hx_gather.py hx_io.py hx_join.py hx_linear.py hx_null.py hx_parallel.py hx_pvalue.py hx_reml.py hx_report.py hx_results_tables.py hx_scan.py hx_shared.py hx_sizes.py hx_variance.py hx_verdict.py
    cat > pictures.txt << 'END_OF_LIST'
    ${pictures.join('\n    ')}
    END_OF_LIST

    build_explorer.py \\
        --tables run \\
        --features features \\
        --expression expression \\
        --pictures pictures.txt \\
        --primary=${primary} ${left_out} \\
        --disclosure ${disclosure} ${named} \\
        --assets page \\
        --outdir explorer

    hx_versions.py --process '${task.process}' anndata numpy pandas pyarrow scipy > versions.yml
    """

    stub:
    """
    mkdir -p explorer/data
    cp page/* explorer/
    touch explorer/data/index.js
    echo '"BUILD_EXPLORER": {python: stub}' > versions.yml
    """
}
