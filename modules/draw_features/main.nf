// Galleries of the described features, and their maps on a few slides: a task a tissue.
process DRAW_FEATURES {
    tag "${meta.id}"
    label 'process_medium'

    container "histogex/slides:0.1.0-cpu"

    // tables: of DESCRIBE_FEATURES. table: rows of slides.tsv of the slides to draw, and slides their files; '' and []
    // where patch features are all there is. patch_features: <sample>.h5 of the slides to map. models: *.model.h5.
    input:
    tuple val(meta), path(tables, stageAs: 'tables/*'), val(table), path(slides, stageAs: 'slides?/*'), path(patch_features, stageAs: 'patch_features?/*'), path(models)
    val settings // map: patch_sizes, map_genes, disclosure (internal or shareable), donors (all of the run, to be numbered)
    path pseudonyms, stageAs: 'pseudonyms/*' // donor, pseudonym; or []

    output:
    tuple val(meta), path('galleries/*.png'), emit: galleries, optional: true
    tuple val(meta), path('maps/*'), emit: maps, optional: true
    path "${meta.id}.feature_maps.tsv", emit: table
    path "${meta.id}.patch_pcs.tsv", emit: patches, optional: true
    path 'multiqc/*_mqc.json', emit: sections, optional: true
    path "${meta.id}.draw_features.dropped.tsv", emit: dropped
    path 'versions.yml', emit: versions

    script:
    def with_slides = table ? "--slides slides.tsv --slide-dir . --sizes ${settings.patch_sizes}" : ''
    def with_maps = patch_features ? '--patch-features .' : ''
    def named = (settings.map_genes ?: '').replace("'", "'\\''")
    def named_as = pseudonyms ? "--pseudonyms ${pseudonyms}" : ''
    def with_models = models ? "--models ${models} --map-genes='${named}'" : ''
    """
    # bin: hx_artefacts.py hx_bands.py hx_bins.py hx_cards.py hx_cli.py hx_companions.py hx_disclosure.py hx_donors.py hx_feature_map.py hx_features.py hx_findings.py hx_formats.py hx_grid.py hx_header.py hx_io.py hx_join.py hx_linear.py hx_maps.py hx_mqc.py hx_overlay.py hx_patch_pcs.py hx_picture.py hx_predict.py hx_predict_model.py hx_predict_scale.py hx_rgba.py hx_rows.py hx_scale.py hx_sizes.py hx_slide.py hx_slide_file.py hx_slide_pictures.py hx_tissue.py hx_tree_picture.py
    cat > slides.tsv << 'END_OF_TABLE'
    ${table.replace('\n', '\n    ')}
    END_OF_TABLE

    cat > donors.txt << 'END_OF_TABLE'
    ${settings.donors.join('\n    ')}
    END_OF_TABLE

    draw_features.py \\
        --tables tables \\
        --setting-prefix ${meta.id} ${with_slides} ${with_maps} ${with_models} \\
        --disclosure ${settings.disclosure} --donors donors.txt ${named_as} \\
        --threads ${task.cpus} \\
        --outdir .

    hx_versions.py --process '${task.process}' anndata h5py numpy opencv-python-headless openslide-python pandas pillow scipy > versions.yml
    """

    stub:
    """
    mkdir galleries maps multiqc
    touch galleries/01.feature.patches.png maps/sample.geojson
    printf 'setting\\tsample\\tname\\n' > ${meta.id}.feature_maps.tsv
    printf 'slide\\tPC1\\tPC2\\n' > ${meta.id}.patch_pcs.tsv
    echo '{"id": "feature_cards", "plot_type": "html", "data": "stub"}' > multiqc/feature_cards_mqc.json
    printf 'id\\tkind\\tstage\\treason\\n' > ${meta.id}.draw_features.dropped.tsv
    echo '"DRAW_FEATURES": {python: stub}' > versions.yml
    """
}
