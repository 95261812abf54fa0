// One row a donor: features of every patch size, and expression.

include { pathList; sizeNames } from './params.nf'
include { tableText          } from './slides.nf'
include { AGGREGATE_FEATURES } from '../modules/aggregate_features/main.nf'
include { PREPARE_EXPRESSION } from '../modules/prepare_expression/main.nf'

// [tissue_id, text of its rows of slide_status.tsv], without the texts that change with the files of other slides.
def statusByTissue(path) {
    return path.splitCsv(header: true, sep: '\t').groupBy { row -> row.tissue_id }
        .collect { tissue_id, rows -> [tissue_id, tableText(rows.collect { row -> row.findAll { column, _value -> !(column in ['reason', 'warnings', 'slide']) } })] }
}

workflow FEATURES {
    take:
    summaries  // channel: [ tissue_id, [ path(*.summary.h5) ] ]; empty with --features
    status     // value: path(slide_status.tsv) or []
    splits     // channel: [ size, path of a table of the donors that a classifier was trained on ]; may be empty
    donors     // value: list of donor rows
    expression // value: list of paths
    opts       // map of typed parameters

    main:
    // [tissue_id, table of its donors]
    ch_donors = donors.flatMap { all -> all.groupBy { row -> row.tissue_id }.collect { tissue_id, rows -> [tissue_id, tableText(rows)] } }

    if (opts.features) {
        def tables = pathList(opts.features)
        ch_sources = ch_donors.map { tissue_id, table -> [[id: "${tissue_id}.-".toString(), tissue_id: tissue_id, size: '-'], table, '', tables, []] }
    }
    else {
        def sizes = sizeNames(opts)
        ch_status = status.flatMap { path -> statusByTissue(path) }
        ch_splits = splits.toList().map { pairs -> [pairs.collectEntries { size, path -> [size, path] }] }
        ch_sources = ch_donors.join(summaries).join(ch_status)
            .combine(channel.fromList(sizes))
            .combine(ch_splits)
            .map { tissue_id, table, files, measured, size, split_of ->
                [[id: "${tissue_id}.${size}".toString(), tissue_id: tissue_id, size: size, sizes: sizes.join(',')], table, measured, files, split_of[size] ?: []]
            }
    }
    AGGREGATE_FEATURES(ch_sources, opts.features ? opts.features_name : '')

    PREPARE_EXPRESSION(
        ch_donors.combine(expression.map { paths -> [paths] }).map { tissue_id, table, paths -> [[id: tissue_id], table, paths] },
        opts.gene_universe ? file(opts.gene_universe) : [],
        [opts.expression_unit, opts.gene_filter],
    )

    emit:
    features   = AGGREGATE_FEATURES.out.features                                                  // channel: [ meta, path(<tissue_id>.<size>.h5ad) ]
    expression = PREPARE_EXPRESSION.out.expression                                                // channel: [ meta, path(<tissue_id>.expression.h5ad) ]
    tables     = AGGREGATE_FEATURES.out.summary.mix(PREPARE_EXPRESSION.out.tables.flatten())                                                  // channel: path(*.feature_summary.tsv)
    losses     = AGGREGATE_FEATURES.out.dropped.mix(PREPARE_EXPRESSION.out.dropped)               // channel: path(*.dropped.tsv)
    versions   = AGGREGATE_FEATURES.out.versions.mix(PREPARE_EXPRESSION.out.versions)             // channel: path(versions.yml)
}
