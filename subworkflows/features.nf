// One row a donor: features of every patch size, and expression.

include { pathList; sizeNames } from './params.nf'
include { tableText          } from './slides.nf'
include { AGGREGATE_FEATURES } from '../modules/aggregate_features/main.nf'
include { PREPARE_EXPRESSION } from '../modules/prepare_expression/main.nf'

workflow FEATURES {
    take:
    summaries  // channel: [ tissue_id, [ path(*.summary.h5) ] ]; empty with --features
    donors     // value: list of donor rows
    expression // value: list of paths
    opts       // map of typed parameters

    main:
    // [tissue_id, table of its donors]
    ch_donors = donors.flatMap { all -> all.groupBy { row -> row.tissue_id }.collect { tissue_id, rows -> [tissue_id, tableText(rows)] } }

    if (opts.features) {
        def tables = pathList(opts.features)
        ch_sources = ch_donors.map { tissue_id, table -> [[id: "${tissue_id}.-".toString(), tissue_id: tissue_id, size: '-'], table, tables] }
    }
    else {
        ch_sources = ch_donors.join(summaries)
            .combine(channel.fromList(sizeNames(opts)))
            .map { tissue_id, table, files, size -> [[id: "${tissue_id}.${size}".toString(), tissue_id: tissue_id, size: size], table, files] }
    }
    AGGREGATE_FEATURES(ch_sources, opts.features ? opts.features_name : '')

    PREPARE_EXPRESSION(
        ch_donors.combine(expression.map { paths -> [paths] }).map { tissue_id, table, paths -> [[id: tissue_id], table, paths] },
        opts.genes ? file(opts.genes) : [],
        [opts.expression_unit, opts.gene_filter],
    )

    emit:
    features   = AGGREGATE_FEATURES.out.features                                                  // channel: [ meta, path(<tissue_id>.<size>.h5ad) ]
    expression = PREPARE_EXPRESSION.out.expression                                                // channel: [ meta, path(<tissue_id>.expression.h5ad) ]
    losses     = AGGREGATE_FEATURES.out.dropped.mix(PREPARE_EXPRESSION.out.dropped)               // channel: path(*.dropped.tsv)
    versions   = AGGREGATE_FEATURES.out.versions.mix(PREPARE_EXPRESSION.out.versions)             // channel: path(versions.yml)
}
