// One decode of each slide of a batch -> features of all patch sizes by all encoders, and their summary. What earlier
// summaries hold, and this run would compute to the same numbers, is not computed again.
process EXTRACT_FEATURES {
    tag "${meta.id}"
    label 'process_high'
    label 'process_gpu'

    container "histogex/encode:0.1.0-${task.accelerator ? 'cuda' : 'cpu'}"

    input:
    tuple val(meta), val(table), path(slides, stageAs: 'slides?/*'), path(patches, stageAs: 'patches?/*'), path(earlier, stageAs: 'earlier/*') // earlier: <sample>.summary.h5, or []
    tuple val(names), path(encoders, stageAs: 'encoders?/*') // names of the files, then those of encoders that need none
    val settings // map: resize, micro_batch, save_patch_features

    output:
    tuple val(meta), path('summaries/*.summary.h5', arity: '0..*'), emit: summaries
    path '*{px,um}/features_*/*.h5', emit: features, optional: true
    path "${meta.id}.extract.tsv", emit: status
    path "${meta.id}.dropped.tsv", emit: dropped
    path 'versions.yml', emit: versions

    script:
    def files = [encoders].flatten()
    def named = names.withIndex().collect { name, i -> i < files.size() ? "${name}=${files[i]}" : name }.join(' ')
    def summaries = earlier ? '--summaries earlier' : ''
    def device = task.accelerator ? 'cuda' : 'cpu'
    // A task that ran out of device memory (exit 75) tries again with half the patches a pass: the same result.
    def micro_batch = Math.max(1, settings.micro_batch.intdiv(1 << (task.attempt - 1)))
    """
    # bin: hx_artefacts.py hx_bands.py hx_cli.py hx_companion_pixels.py hx_companions.py hx_encoder.py hx_extraction.py hx_features.py hx_formats.py hx_grid.py hx_header.py hx_io.py hx_jobs.py hx_join.py hx_nuclei.py hx_rgba.py hx_rows.py hx_scale.py hx_sizes.py hx_slide.py hx_slide_file.py hx_takeover.py hx_tissue.py
    cat > ${meta.id}.slides.tsv << 'END_OF_TABLE'
    ${table.replace('\n', '\n    ')}
    END_OF_TABLE

    extract_features.py \\
        --slides ${meta.id}.slides.tsv \\
        --slide-dir . \\
        --patches . \\
        --encoders ${named} \\
        --resize ${settings.resize} \\
        --save-patch-features ${settings.save_patch_features} ${summaries} \\
        --micro-batch ${micro_batch} \\
        --threads ${task.cpus} \\
        --device ${device} \\
        --batch-id ${meta.id} \\
        --outdir .

    hx_versions.py --process '${task.process}' numpy onnxruntime opencv-python-headless openslide-python h5py > versions.yml
    """

    stub:
    def samples = table.readLines().drop(1).collect { line -> line.tokenize('\t')[0] }
    """
    mkdir -p summaries
    for sample in ${samples.join(' ')}; do touch summaries/\$sample.summary.h5; done
    printf 'sample\\tstatus\\n' > ${meta.id}.extract.tsv
    printf 'id\\tkind\\tstage\\treason\\n' > ${meta.id}.dropped.tsv
    echo '"EXTRACT_FEATURES": {python: stub}' > versions.yml
    """
}
