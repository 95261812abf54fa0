// Associations of a tissue side by side over all patch sizes, encoders and aggregations.
process COMPARE_SETTINGS {
    tag "${meta.id}"
    label 'process_low'

    container "histogex/stats:0.1.0-cpu"

    // results: features, expression, models and associations (pairs, genes, summary) of all sizes of the tissue.
    input:
    tuple val(meta), path(results, stageAs: 'results/*')
    val settings // map: primary, seed

    output:
    path "${meta.id}.{setting_counts,setting_overlaps,size_sets,gene_cards,published_associations}.tsv", emit: tables
    path "${meta.id}.compare_settings.dropped.tsv", emit: dropped
    path 'versions.yml', emit: versions

    script:
    """
    # bin: hx_association.py hx_cli.py hx_counts.py hx_donors.py hx_fdr.py hx_gather.py hx_genes.py hx_io.py hx_join.py hx_linear.py hx_null.py hx_overlap.py hx_published.py hx_published_table.py hx_pvalue.py hx_results.py hx_scan.py hx_settings.py hx_sizes.py hx_tested.py
    compare_settings.py \\
        --results results \\
        --tissue-id ${meta.id} \\
        --primary=${settings.primary} \\
        --seed ${settings.seed} \\
        --threads ${task.cpus} \\
        --outdir .

    hx_versions.py --process '${task.process}' anndata numpy pandas pyarrow scipy > versions.yml
    """

    stub:
    """
    for name in setting_counts setting_overlaps size_sets gene_cards published_associations; do printf 'setting\\n' > ${meta.id}.\$name.tsv; done
    printf 'id\\tkind\\tstage\\treason\\n' > ${meta.id}.compare_settings.dropped.tsv
    echo '"COMPARE_SETTINGS": {python: stub}' > versions.yml
    """
}
