// Figures and table of the study for a publication, each with the numbers behind it; drawn from tables, nothing is estimated anew.
process DRAW_FIGURES {
    label 'process_single'

    container "histogex/stats:0.1.0-cpu"

    input:
    path tables, stageAs: 'tables/*'             // summary/*.tsv; <tissue_id>.<size>.{descriptions,description_points,gallery_slides}.tsv
    tuple val(prefixes), path(galleries, stageAs: 'galleries?/*') // <tissue_id>.<size> of each picture *.slides.png of DRAW_FEATURES
    path tissues, stageAs: 'tissues/*'           // <sample>.figure2.jpg of SEGMENT_TISSUE, a slide a tissue
    val primary                                  // size,encoder,aggregation that the verdict speaks of
    val skipped                                  // stages that were left out, as 'stage: why'
    val disclosure                               // internal or shareable

    output:
    path 'figures/*', emit: figures
    path 'versions.yml', emit: versions

    script:
    def left_out = skipped ? "--skipped ${skipped.collect { stage -> "'${stage}'" }.join(' ')}" : ''
    def listed = [prefixes, [galleries].flatten()].transpose().collect { prefix, picture -> "${prefix}\t${picture}" }
    def with_tissues = tissues ? '--tissues tissues' : ''
    """
    # bin: hx_bins.py hx_cli.py hx_colours.py hx_disclosure.py hx_donors.py hx_factor_cells.py hx_factor_levels.py hx_factors.py hx_fdr.py hx_figure.py hx_figure_bars.py hx_figure_cells.py hx_figure_data.py hx_figure_lines.py hx_figure_pictures.py hx_figure_table.py hx_gather.py hx_io.py hx_join.py hx_linear.py hx_overlap.py hx_parallel.py hx_reml.py hx_results_tables.py hx_settings.py hx_shared.py hx_sizes.py hx_variance.py
    cat > galleries.tsv << 'END_OF_TABLE'
    ${(['prefix\tpicture'] + listed).join('\n    ')}
    END_OF_TABLE

    export MPLCONFIGDIR=\$PWD/.matplotlib
    draw_figures.py \\
        --tables tables \\
        --galleries galleries.tsv ${with_tissues} \\
        --primary=${primary} ${left_out} \\
        --disclosure ${disclosure} \\
        --outdir figures

    hx_versions.py --process '${task.process}' matplotlib numpy pandas pillow pyarrow scipy > versions.yml
    """

    stub:
    """
    mkdir figures
    printf 'figure\\ttissue_id\\tleft_out\\n' > figures/figures.tsv
    echo '"DRAW_FIGURES": {python: stub}' > versions.yml
    """
}
