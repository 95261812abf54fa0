// The tables that the report draws: collects what the stages found and lost; recomputes nothing but the planted truths.
process SUMMARISE {
    label 'process_single'

    container "histogex/stats:0.1.0-cpu"

    input:
    path cohort, stageAs: 'cohort/*'             // slides.tsv, cohort.tsv, matching.tsv
    path dropped, stageAs: 'dropped?/*'
    path status, stageAs: 'slides/*'             // slide_status.tsv, or []
    path tables, stageAs: 'tables/*'             // tables of all stages after those: <of>.<kind>.tsv, *.association_genes.parquet
    path features, stageAs: 'features/*'         // *.h5ad, read for the planted truths
    path expression, stageAs: 'expression/*'     // *.expression.h5ad, likewise
    path truth                                   // truth.json, or []
    path methods                                 // methods text of assets/
    val primary                                  // size,encoder,aggregation that the verdict speaks of
    val skipped                                  // stages that were left out, as 'stage: why'
    path pseudonyms, stageAs: 'pseudonyms/*'     // donor, pseudonym; or []
    val disclosure                               // map: mode (internal or shareable), genotypes (whether the run has any)

    output:
    path 'summary/*', emit: tables
    path 'multiqc/*_mqc.json', emit: sections
    path 'versions.yml', emit: versions

    script:
    def with_truth = truth ? "--truth ${truth} --features features --expression expression" : ''
    def with_status = status ? "--status ${status}" : ''
    def named = pseudonyms ? "--pseudonyms ${pseudonyms}" : ''
    def with_genotypes = disclosure.genotypes ? '--with-genotypes' : ''
    def left_out = skipped ? "--skipped ${skipped.collect { stage -> "'${stage}'" }.join(' ')}" : ''
    """
    # bin: hx_annotation_sections.py hx_association.py hx_association_sections.py hx_bins.py hx_causality_sections.py hx_claim_readings.py hx_claim_run.py hx_claims.py hx_claims_sections.py hx_classifier_sections.py hx_cli.py hx_cohort_report.py hx_cohort_sections.py hx_colours.py hx_companions.py hx_confounder_sections.py hx_description_sections.py hx_disclosure.py hx_donor_plots.py hx_donors.py hx_enrichment_sections.py hx_expression_sections.py hx_factor_cells.py hx_factor_levels.py hx_factors.py hx_fdr.py hx_feature_sections.py hx_features.py hx_finding_factors.py hx_finding_run.py hx_finding_tests.py hx_findings.py hx_gather.py hx_genotype_sections.py hx_hits_sections.py hx_io.py hx_join.py hx_linear.py hx_methods.py hx_mqc.py hx_null.py hx_overlap.py hx_parallel.py hx_prediction_sections.py hx_pvalue.py hx_qtl_sections.py hx_reml.py hx_report.py hx_scale_sections.py hx_scales.py hx_scan.py hx_sections.py hx_settings.py hx_settings_sections.py hx_shared.py hx_shared_tables.py hx_sizes.py hx_slide_sections.py hx_term_sections.py hx_top_hits_sections.py hx_truth.py hx_variance.py hx_variance_sections.py hx_verdict.py
    summarise.py \\
        --cohort cohort \\
        --dropped ${dropped} ${with_status} \\
        --tables tables \\
        --primary=${primary} ${left_out} \\
        --methods ${methods} ${with_truth} \\
        --disclosure ${disclosure.mode} ${named} ${with_genotypes} \\
        --outdir .

    hx_versions.py --process '${task.process}' anndata numpy pandas pyarrow scipy > versions.yml
    """

    stub:
    """
    mkdir -p summary multiqc
    printf 'tissue_id\\n' > summary/verdict.tsv
    echo '{"id": "verdict", "plot_type": "html", "data": "stub"}' > multiqc/verdict_mqc.json
    echo '"SUMMARISE": {python: stub}' > versions.yml
    """
}
