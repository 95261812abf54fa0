// What the features behind the best hits see: sentences, galleries and maps, a task a tissue at the primary size.

include { disclosureMode; pathList; declaredSetting; sizeNames } from './params.nf'
include { patchFeatureSample  } from './cohort.nf'
include { batchTasks; slideRow } from './slides.nf'
include { DESCRIBE_FEATURES } from '../modules/describe_features/main.nf'
include { EXTRACT_FEATURES as EXTRACT_MAPPED } from '../modules/extract_features/main.nf'
include { DRAW_FEATURES } from '../modules/draw_features/main.nf'

// Rows of the slides that a table of drawn slides names, those to map alone where `mapped`.
def drawnRows(rows, drawn, mapped) {
    def wanted = drawn.splitCsv(header: true, sep: '\t').findAll { row -> !mapped || row.map == 'yes' }.collect { row -> row.sample }.toSet()
    return rows.findAll { row -> row.sample in wanted }
}

// [table, files] of some slides as one task sees them; ['', []] of none.
def drawnTask(rows, sheet) {
    def task = batchTasks(rows.collect { row -> row + [batch: 'drawn'] }, { row -> slideRow(row, sheet) })
    return task ? [task[0][1], task[0][2]] : ['', []]
}

workflow DESCRIBE {
    take:
    features    // channel: [ meta, path(<tissue_id>.<size>.h5ad) ]
    genes       // channel: path(<tissue_id>.<size>.association_genes.parquet); empty where nothing is associated
    models      // channel: path(<setting>.model.h5); empty where nothing is predicted
    summaries   // channel: [ tissue_id, [ path(*.summary.h5) ] ]; empty with --features
    grids       // channel: path(<size>px/patches/<sample>_patches.h5) or lists of them; empty without slides
    encoders    // value: [ [ names ], [ paths ] ] of EXTRACT_FEATURES; empty without slides
    sheet       // value: path(samplesheet.csv) or []
    slides      // value: list of slide rows
    annotations // value: path(annotations.tsv) or []
    opts        // map of typed parameters

    main:
    def by_name = { a, b -> a.name <=> b.name }
    def primary = declaredSetting(opts)
    def size = primary.tokenize(',')[0]
    def sizes = opts.features ? '' : sizeNames(opts).join(',')
    def from_slides = !opts.features && !opts.patch_features

    DESCRIBE_FEATURES(
        features.filter { meta, _path -> meta.size == size }
            .combine(genes.toSortedList(by_name).map { paths -> [paths] })
            .map { meta, image, paths -> [meta.tissue_id, meta, image, paths.findAll { path -> path.name == "${meta.id}.association_genes.parquet" }] }
            .join(summaries, remainder: true)
            .filter { item -> item[1] }
            .map { _tissue_id, meta, image, pairs, files_of -> [meta, image, pairs, files_of ?: []] },
        annotations,
        opts.subMap(['describe_features', 'map_slides', 'seed']) + [primary: primary, patch_sizes: sizes],
    )
    // [meta, rows of the slides to draw, rows of those to map, path of the sheet]
    ch_chosen = DESCRIBE_FEATURES.out.drawn.combine(slides.map { rows -> [rows] }).combine(sheet.map { path -> [path] })
        .map { meta, drawn, rows, path -> [meta, drawnRows(rows, drawn, false), drawnRows(rows, drawn, true), path] }

    // Features of every patch of the slides to map: of the files given, else the slides are encoded once more.
    ch_patch_features = channel.empty()
    ch_losses = DESCRIBE_FEATURES.out.dropped
    ch_versions = DESCRIBE_FEATURES.out.versions
    if (opts.patch_features) {
        def given = pathList(opts.patch_features).groupBy { path -> patchFeatureSample(path) }
        ch_patch_features = ch_chosen.map { meta, _drawn, mapped, _sheet -> [meta.tissue_id, mapped.collectMany { row -> given[row.sample] ?: [] }] }
    }
    if (from_slides) {
        def folder = size.endsWith('um') ? size : "${size}px".toString()
        ch_grids = grids.flatten().filter { path -> path.parent.parent.name == folder }
            .toSortedList(by_name)
            .map { paths -> [paths.collectEntries { path -> [path.name - '_patches.h5', path] }] }
        EXTRACT_MAPPED(
            ch_chosen.filter { _meta, _drawn, mapped, _sheet -> mapped }
                .combine(ch_grids)
                .map { meta, _drawn, mapped, path, grid_of -> [meta] + drawnTask(mapped, path) + [mapped.findResults { row -> grid_of[row.sample] }, []] },
            encoders,
            opts.subMap(['resize', 'micro_batch']) + [save_patch_features: 'float32'],
        )
        ch_patch_features = EXTRACT_MAPPED.out.features.flatten()
            .combine(slides.map { rows -> [rows.collectEntries { row -> [row.sample, row.tissue_id] }] })
            .map { path, tissue_of -> [tissue_of[patchFeatureSample(path)], path] }
            .groupTuple()
            .map { tissue_id, paths -> [tissue_id, paths.sort { path -> path.toUriString() }] }
        ch_losses = ch_losses.mix(EXTRACT_MAPPED.out.dropped)
        ch_versions = ch_versions.mix(EXTRACT_MAPPED.out.versions)
    }

    // Without slides the tables alone are drawn: scatters and correlations.
    ch_tasks = DESCRIBE_FEATURES.out.tables.join(ch_chosen, remainder: true)
        .map { item -> [item[0].tissue_id, item[0], item[1]] + (from_slides && item[2] ? drawnTask(item[2], item[4]) : ['', []]) }
    DRAW_FEATURES(
        ch_tasks.join(ch_patch_features, remainder: true)
            .filter { item -> item[1] }
            .combine(models.flatten().toSortedList(by_name).map { paths -> [paths] })
            .map { _tissue_id, meta, tables, table, files_of, mapped, paths ->
                [meta, tables, table, files_of, mapped ?: [], paths.findAll { path -> path.name.startsWith("${meta.id}.") }]
            },
        slides.map { rows ->
            // Numbered among all donors, so that a number is the same in every picture.
            def numbered = disclosureMode(opts) == 'shareable' && !opts.pseudonyms
            [patch_sizes: sizes, map_genes: opts.map_genes, disclosure: disclosureMode(opts),
             donors: numbered ? rows.collect { row -> row.donor }.toSet().sort() : []]
        },
        opts.pseudonyms ? file(opts.pseudonyms) : [],
    )

    emit:
    tables   = DESCRIBE_FEATURES.out.tables.map { _meta, paths -> paths }.flatten().mix(DRAW_FEATURES.out.table) // channel: path
    pictures = DRAW_FEATURES.out.galleries.mix(DRAW_FEATURES.out.maps).flatMap { meta, paths ->
        [paths].flatten().findAll { path -> path.name.endsWith('.png') }.collect { path -> "${meta.id}/${path.parent.name}/${path.name}".toString() }
    }                                                                                                            // channel: names below description/
    galleries = DRAW_FEATURES.out.galleries.flatMap { meta, paths ->
        [paths].flatten().findAll { path -> path.name.endsWith('.slides.png') }.collect { path -> [meta.id, path] }
    }                                                                                                            // channel: [ <tissue_id>.<size>, path ]
    sections = DRAW_FEATURES.out.sections                                                                        // channel: path(*_mqc.json)
    losses   = ch_losses.mix(DRAW_FEATURES.out.dropped)                                                          // channel: path(*.dropped.tsv)
    versions = ch_versions.mix(DRAW_FEATURES.out.versions)                                                       // channel: path(versions.yml)
}
