// Enriched terms across tissues, sizes and encoders, and every gene across everything.
process COMBINE_ENRICHMENT {
    label 'process_single'

    container "histogex/stats:0.1.0-cpu"

    // tables: of ENRICH, all tissues and sizes; gene_cards of COMPARE_SETTINGS and prediction_genes of
    // PREDICT_EXPRESSION as far as they ran.
    input:
    path tables, stageAs: 'tables/*'

    output:
    path '{term_overlaps,term_sets,gene_summary}.tsv', emit: tables
    path 'versions.yml', emit: versions

    script:
    """
    # bin: hx_association.py hx_association_tables.py hx_camera.py hx_cli.py hx_counts.py hx_donors.py hx_enrich.py hx_enrich_lists.py hx_enrich_tables.py hx_enrichment.py hx_fdr.py hx_gather.py hx_gene_lists.py hx_gene_sets.py hx_genes.py hx_io.py hx_join.py hx_linear.py hx_markers.py hx_null.py hx_overlap.py hx_pvalue.py hx_robustness.py hx_scan.py hx_sizes.py hx_term_overlap.py
    combine_enrichment.py --tables tables --outdir .

    hx_versions.py --process '${task.process}' numpy pandas pyarrow > versions.yml
    """

    stub:
    """
    for name in term_overlaps term_sets gene_summary; do printf 'setting\\n' > \$name.tsv; done
    echo '"COMBINE_ENRICHMENT": {python: stub}' > versions.yml
    """
}
