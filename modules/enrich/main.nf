// Gene sets behind the associations: features of the primary setting (or of all) x sets, lists of genes of every setting
// and factor. One task works through all settings of a tissue and size.
process ENRICH {
    tag "${meta.id}"
    label 'process_low'

    container "histogex/stats:0.1.0-cpu"

    // design: covariates of the model by donor. confounder_genes: genes by factor, or [].
    input:
    tuple val(meta), path(features), path(expression), path(design), path(confounder_genes)
    path gene_sets, stageAs: 'gene_sets/*' // GMT
    path marker_sets, stageAs: 'marker_sets/*' // GMT, or []
    path kept, stageAs: 'kept' // folder of g:Profiler's answers of an earlier run, or []
    val settings // map: aggregations, controls, correction, alpha, primary, enrich_settings, enrich_features, bundled, gprofiler, gprofiler_organism, gprofiler_url, seed

    output:
    path "${meta.id}.enrichment.parquet", emit: pairs
    path "${meta.id}.{enrichment_summary,enrichment_table1,enrichment_top,enrichment_lists,gene_lists,marker_hits,gsea,gprofiler,gprofiler_status}.tsv", emit: tables
    path "${meta.id}.gene_lists.gmt", emit: lists
    path 'gprofiler/*.json', emit: answers, optional: true
    path "${meta.id}.enrich.dropped.tsv", emit: dropped
    path 'versions.yml', emit: versions

    script:
    def options = [
        design ? "--design ${design}" : '',
        confounder_genes ? "--confounder-genes ${confounder_genes}" : '',
        marker_sets ? "--marker-sets ${marker_sets}" : '',
        settings.bundled ? '--bundled-sets' : '',
        settings.gprofiler ? "--gprofiler --gprofiler-organism ${settings.gprofiler_organism} --gprofiler-url '${settings.gprofiler_url}'" : '',
        settings.gprofiler && kept ? '--gprofiler-cache kept' : '',
    ].findAll().join(' ')
    """
    # bin: hx_arguments.py hx_association.py hx_association_tables.py hx_camera.py hx_cli.py hx_controls.py hx_counts.py hx_donors.py hx_enrich.py hx_enrich_lists.py hx_enrich_tables.py hx_enrichment.py hx_factor_cells.py hx_factor_levels.py hx_factors.py hx_fdr.py hx_gene_lists.py hx_gene_sets.py hx_genes.py hx_gprofiler.py hx_gsea.py hx_io.py hx_join.py hx_linear.py hx_markers.py hx_null.py hx_pvalue.py hx_robustness.py hx_rows.py hx_scan.py
    enrich.py \\
        --features ${features} \\
        --expression ${expression} \\
        --setting-prefix ${meta.id} \\
        --aggregations ${settings.aggregations} \\
        --gene-sets ${gene_sets} \\
        --controls ${settings.controls} \\
        --correction ${settings.correction} \\
        --alpha ${settings.alpha} \\
        --primary=${settings.primary} \\
        --settings ${settings.enrich_settings} \\
        --gsea-features ${settings.enrich_features} \\
        --seed ${settings.seed} \\
        --threads ${task.cpus} \\
        --outdir . ${options}

    hx_versions.py --process '${task.process}' anndata gprofiler-official gseapy numpy pandas pyarrow scipy > versions.yml
    """

    stub:
    """
    touch ${meta.id}.enrichment.parquet ${meta.id}.gene_lists.gmt
    for name in enrichment_summary enrichment_table1 enrichment_top enrichment_lists gene_lists marker_hits gsea gprofiler gprofiler_status; do
        printf 'setting\\n' > ${meta.id}.\$name.tsv
    done
    printf 'id\\tkind\\tstage\\treason\\n' > ${meta.id}.enrich.dropped.tsv
    echo '"ENRICH": {python: stub}' > versions.yml
    """
}
