// What image features and expression have to do with each other, tissue by tissue and size by size.

include { tableText            } from './slides.nf'
include { ADJUST_CONFOUNDERS   } from '../modules/adjust_confounders/main.nf'
include { SHARED_VARIANCE      } from '../modules/shared_variance/main.nf'
include { COMBINE_SCALES       } from '../modules/combine_scales/main.nf'
include { ASSOCIATE            } from '../modules/associate/main.nf'
include { COMPARE_ASSOCIATIONS } from '../modules/compare_associations/main.nf'

// {tissue_id: the other tissue that shares most donors with it}, whose features the control wrong_tissue takes; of
// equals the first by name. Rows are those of cohort.tsv.
def otherTissues(rows) {
    def donors = rows.groupBy { row -> row.tissue_id }.collectEntries { tissue_id, all -> [tissue_id, all.collect { row -> row.donor }.toSet()] }
    return donors.collectEntries { tissue_id, mine ->
        [tissue_id, donors.keySet().findAll { other -> other != tissue_id }.sort().max { other -> donors[other].intersect(mine).size() }]
    }
}

workflow EXPLAIN {
    take:
    features   // channel: [ meta, path(<tissue_id>.<size>.h5ad) ]
    expression // channel: [ meta, path(<tissue_id>.expression.h5ad) ]
    donors     // value: list of donor rows
    opts       // map of typed parameters

    main:
    def by_name = { a, b -> a.name <=> b.name }
    def primary = opts.features ? "-,${opts.features_name},given".toString() : opts.primary
    ch_tables = donors.flatMap { all -> all.groupBy { row -> row.tissue_id }.collect { tissue_id, rows -> [tissue_id, tableText(rows)] } }
    ch_expression = expression.map { meta, path -> [meta.id, path] }
    // [tissue_id, meta, features, expression, table]
    ch_sides = features.map { meta, path -> [meta.tissue_id, meta, path] }
        .combine(ch_expression, by: 0)
        .combine(ch_tables, by: 0)

    ADJUST_CONFOUNDERS(
        ch_sides.map { _tissue_id, meta, image, genes, table -> [meta, table, image, genes] },
        opts.subMap(['aggregations', 'confounders', 'confounder_model', 'adjust_also', 'confounder_pcs', 'seed']),
    )
    ch_designs = ADJUST_CONFOUNDERS.out.design

    // [meta, features of the other tissue], [] where there is none of the size.
    ch_wrong = (opts.controls ?: '').tokenize(',').contains('wrong_tissue')
        ? features.combine(donors.map { all -> [otherTissues(all)] })
            .map { meta, _path, others -> [[others[meta.tissue_id], meta.size], meta] }
            .join(features.map { meta, path -> [[meta.tissue_id, meta.size], path] }, remainder: true)
            .filter { _key, meta, _path -> meta }
            .map { _key, meta, path -> [meta, path ?: []] }
        : features.map { meta, _path -> [meta, []] }
    ASSOCIATE(
        ch_sides.map { _tissue_id, meta, image, genes, table -> [meta, image, genes, table] }
            .join(ch_designs)
            .join(ch_wrong)
            .map { meta, image, genes, table, design, other -> [meta, image, genes, design, table, other] },
        opts.genes ? file(opts.genes) : [],
        opts.subMap(['aggregations', 'controls', 'correction', 'alpha', 'max_permutations', 'seed']) + [primary: primary],
    )

    SHARED_VARIANCE(
        ch_sides.map { _tissue_id, meta, image, genes, table -> [meta, image, genes, table] }
            .join(ch_designs)
            .map { meta, image, genes, table, design -> [meta, image, genes, design, table] },
        opts.subMap(['aggregations', 'controls', 'seed']) + [primary: primary],
    )
    COMBINE_SCALES(
        SHARED_VARIANCE.out.scales
            .map { meta, paths -> [meta.tissue_id, paths] }
            .groupTuple()
            .map { tissue_id, paths -> [[id: tissue_id], paths.flatten().sort { path -> path.name }] },
        [primary: primary, seed: opts.seed],
    )

    // [group, files] of the sides of a comparison: tissues of a size, sizes of a tissue, and with a second cohort all.
    ch_results = ASSOCIATE.out.associations.join(features).join(ch_designs)
        .map { meta, pairs, image, design -> [meta.tissue_id, meta, [pairs, image, design]] }
        .combine(ch_expression, by: 0)
        .map { _tissue_id, meta, files, genes -> [meta, files + [genes]] }
    def second = opts.replication ? files("${opts.replication}/**.{associations.parquet,h5ad,design.tsv}").sort { path -> path.name } : []
    ch_groups = ch_results.map { meta, files -> ["size_${meta.size}".toString(), 'tissues', files] }
        .mix(ch_results.map { meta, files -> ["tissue_${meta.tissue_id}".toString(), 'sizes', files] })
        .groupTuple()
        .filter { _group, _across, files -> files.size() > 1 }
        .map { group, across, files -> [[id: group], across[0], files.flatten().unique().sort(by_name), []] }
    ch_second = second
        ? ch_results.map { _meta, files -> files }.collect().map { files -> [[id: 'replication'], 'cohorts', files.flatten().unique().sort(by_name), second] }
        : channel.empty()
    COMPARE_ASSOCIATIONS(ch_groups.mix(ch_second))

    emit:
    tables   = ASSOCIATE.out.tables.flatten().mix(
        ASSOCIATE.out.genes.flatten(), ADJUST_CONFOUNDERS.out.tables.flatten(), SHARED_VARIANCE.out.tables.flatten(),
        COMBINE_SCALES.out.tables.flatten(), COMPARE_ASSOCIATIONS.out.tables,
    )                                                                                               // channel: path
    losses   = ADJUST_CONFOUNDERS.out.dropped.mix(SHARED_VARIANCE.out.dropped, COMBINE_SCALES.out.dropped, ASSOCIATE.out.dropped) // channel: path(*.dropped.tsv)
    versions = ADJUST_CONFOUNDERS.out.versions.mix(
        SHARED_VARIANCE.out.versions, COMBINE_SCALES.out.versions, ASSOCIATE.out.versions, COMPARE_ASSOCIATIONS.out.versions,
    )                                                                                               // channel: path(versions.yml)
}
