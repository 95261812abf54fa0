// Training patches of one size, cut from all batches of slides -> as many a tissue as wanted, spread over donors.
process SAMPLE_PATCHES {
    tag "${size}"
    label 'process_single'

    container "histogex/slides:0.1.0-cpu"

    input:
    tuple val(size), path(files, stageAs: 'parts?/*')
    val settings // map: patches, seed

    output:
    tuple val(size), path("${size}.training.h5"), emit: patches
    path "${size}.training.tsv", emit: table
    path "contact_sheet_${size}_mqc.jpg", emit: sheet
    path "${size}.training_counts.tsv", emit: counts
    path "${size}.dropped.tsv", emit: dropped
    path 'versions.yml', emit: versions

    script:
    """
    # bin: hx_artefacts.py hx_bands.py hx_cli.py hx_formats.py hx_grid.py hx_header.py hx_io.py hx_join.py hx_overlay.py hx_rgba.py hx_scale.py hx_sizes.py hx_slide.py hx_slide_file.py hx_tissue.py hx_training.py
    sample_patches.py \\
        --files ${files} \\
        --size ${size} \\
        --patches ${settings.patches} \\
        --seed ${settings.seed} \\
        --outdir .

    hx_versions.py --process '${task.process}' numpy opencv-python-headless pillow h5py > versions.yml
    """

    stub:
    """
    touch ${size}.training.h5 contact_sheet_${size}_mqc.jpg
    printf 'sample\\tdonor\\ttissue_id\\tfold\\tx\\ty\\n' > ${size}.training.tsv
    printf 'tissue_id\\tdonors\\tslides\\tpatches\\n' > ${size}.training_counts.tsv
    printf 'id\\tkind\\tstage\\treason\\n' > ${size}.dropped.tsv
    echo '"SAMPLE_PATCHES": {python: stub}' > versions.yml
    """
}
