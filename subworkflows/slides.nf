// Slides -> tissue, patches and, in one decode of each slide, the features of all sizes and encoders.

include { encoderList; pathList         } from './params.nf'
include { patchFeatureSample; slidePath } from './cohort.nf'
include { SEGMENT_TISSUE    } from '../modules/segment_tissue/main.nf'
include { PREPARE_ENCODER   } from '../modules/prepare_encoder/main.nf'
include { EXTRACT_FEATURES  } from '../modules/extract_features/main.nf'
include { SUMMARISE_PATCHES } from '../modules/summarise_patches/main.nf'
include { CHECK_SLIDES      } from '../modules/check_slides/main.nf'

// Rows as the text of a table. Tasks get their rows as values: the path of a table made by another task would enter
// their hash, and adding one slide would re-run everything.
def tableText(rows) {
    return ([rows[0].keySet().join('\t')] + rows.collect { row -> row.values().join('\t') }).join('\n')
}

// [meta, table, files] a batch; `filesOf` gives the files of a row, and the staged name of the first becomes its `slide`.
def batchTasks(rows, filesOf) {
    return rows.groupBy { row -> row.batch }.collect { batch, members ->
        def sorted = members.sort { row -> row.sample }
        def staged = []
        def table = sorted.collect { row ->
            def found = filesOf(row)
            def number = staged.size() + 1
            staged.addAll(found)
            row + [slide: found ? "slides${number}/${found[0].name}".toString() : '']
        }
        [[id: batch, tissue_id: sorted[0].tissue_id], tableText(table), staged]
    }
}

workflow SLIDES {
    take:
    sheet // value: path(samplesheet.csv)
    rows  // value: list of slide rows
    opts  // map of typed parameters

    main:
    def patch_features = pathList(opts.patch_features)
    ch_versions = channel.empty()
    ch_losses = channel.empty()

    if (patch_features) {
        def by_sample = patch_features.groupBy { path -> patchFeatureSample(path) }
        SUMMARISE_PATCHES(rows.flatMap { all -> batchTasks(all, { row -> by_sample[row.sample] ?: [] }) })
        ch_summaries = SUMMARISE_PATCHES.out.summaries
        ch_status = SUMMARISE_PATCHES.out.status
        ch_losses = ch_losses.mix(SUMMARISE_PATCHES.out.dropped)
        ch_versions = ch_versions.mix(SUMMARISE_PATCHES.out.versions)
    }
    else {
        ch_batches = rows.map { all -> [all] }.combine(sheet.map { path -> [path] })
            .flatMap { all, path -> batchTasks(all, { row -> [slidePath(path, row.slide)] }) }
        SEGMENT_TISSUE(ch_batches, opts.subMap(['patch_sizes', 'segmentation', 'patch_rule', 'min_tissue', 'max_patches', 'seed']))

        def encoders = encoderList(opts.encoders)
        def weights = opts.weights == 'random' ? [] : file(opts.weights)
        PREPARE_ENCODER(
            channel.fromList(encoders.findAll { _name, onnx -> onnx == null }.collect { name, _onnx -> name }),
            weights,
            opts.weights_sha256 ?: '',
            opts.seed,
        )
        ch_encoders = PREPARE_ENCODER.out.encoder
            .mix(channel.fromList(encoders.findAll { _name, onnx -> onnx != null }))
            .toSortedList { a, b -> a[0] <=> b[0] }
            .map { pairs -> pairs.transpose() }

        EXTRACT_FEATURES(
            ch_batches.join(SEGMENT_TISSUE.out.patches, failOnMismatch: true, failOnDuplicate: true),
            ch_encoders,
            opts.subMap(['resize', 'micro_batch', 'save_patch_features']),
        )
        ch_summaries = EXTRACT_FEATURES.out.summaries
        ch_status = SEGMENT_TISSUE.out.status.mix(EXTRACT_FEATURES.out.status)
        ch_losses = ch_losses.mix(SEGMENT_TISSUE.out.dropped, EXTRACT_FEATURES.out.dropped)
        ch_versions = ch_versions.mix(SEGMENT_TISSUE.out.versions, PREPARE_ENCODER.out.versions, EXTRACT_FEATURES.out.versions)
    }

    ch_all_status = ch_status.toSortedList { a, b -> a.name <=> b.name }
    CHECK_SLIDES(rows.map { all -> tableText(all) }, ch_all_status, opts.max_failed_slides)
    ch_versions = ch_versions.mix(CHECK_SLIDES.out.versions)

    // A tissue goes on as soon as its own batches are done.
    ch_expected = rows.map { all -> [all.collect { row -> [row.tissue_id, row.batch] }.unique().countBy { pair -> pair[0] }] }
    ch_tissues = ch_summaries.combine(ch_expected)
        .map { meta, summaries, expected -> [groupKey(meta.tissue_id, expected[meta.tissue_id]), summaries] }
        .groupTuple(remainder: true)
        .map { key, summaries -> [key.getGroupTarget(), summaries.flatten().sort { path -> path.name }] }
        .combine(CHECK_SLIDES.out.passed)
        .map { tissue_id, summaries, _passed -> [tissue_id, summaries] }

    emit:
    summaries = ch_tissues              // channel: [ tissue_id, [ path(*.summary.h5) ] ]
    status    = CHECK_SLIDES.out.status // value: path(slide_status.tsv)
    losses    = ch_losses               // channel: path(*.dropped.tsv)
    versions  = ch_versions             // channel: path(versions.yml)
}
