// What image features and expression have to do with each other, tissue by tissue and size by size.

include { declaredSetting       } from './params.nf'
include { stageQueues          } from './stages.nf'
include { tableText            } from './slides.nf'
include { ADJUST_CONFOUNDERS   } from '../modules/adjust_confounders/main.nf'
include { SHARED_VARIANCE      } from '../modules/shared_variance/main.nf'
include { COMBINE_SCALES       } from '../modules/combine_scales/main.nf'
include { ASSOCIATE            } from '../modules/associate/main.nf'
include { COMPARE_ASSOCIATIONS } from '../modules/compare_associations/main.nf'
include { COMPARE_SETTINGS     } from '../modules/compare_settings/main.nf'
include { PREDICT_EXPRESSION   } from '../modules/predict_expression/main.nf'
include { ENRICH               } from '../modules/enrich/main.nf'
include { ASSOCIATE_ANNOTATIONS } from '../modules/associate_annotations/main.nf'
include { COMBINE_ENRICHMENT   } from '../modules/combine_enrichment/main.nf'

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
    gene_sets  // value: path(GMT)
    labels     // value: list of paths of annotations
    opts       // map of typed parameters

    main:
    def by_name = { a, b -> a.name <=> b.name }
    def unlessSkipped = stageQueues(opts)
    def primary = declaredSetting(opts)
    // Permuted genotypes are a control of GENETICS alone.
    def controls = (opts.controls.tokenize(',') - 'permute_genotypes').join(',') ?: 'none'
    def declared = [primary: primary, controls: controls]
    ch_tables = donors.flatMap { all -> all.groupBy { row -> row.tissue_id }.collect { tissue_id, rows -> [tissue_id, tableText(rows)] } }
    ch_expression = expression.map { meta, path -> [meta.id, path] }
    // [tissue_id, meta, features, expression, table]
    ch_sides = features.map { meta, path -> [meta.tissue_id, meta, path] }
        .combine(ch_expression, by: 0)
        .combine(ch_tables, by: 0)

    ADJUST_CONFOUNDERS(
        ch_sides.map { _tissue_id, meta, image, genes, table -> [meta, table, image, genes] },
        opts.subMap(['aggregations', 'confounders', 'confounder_model', 'adjust_also', 'confounder_pcs', 'seed']) + [primary: primary],
    )
    ch_designs = ADJUST_CONFOUNDERS.out.design
    // [meta, features, expression, design, table] of the sizes that have room for the model
    ch_modelled = ch_sides.map { _tissue_id, meta, image, genes, table -> [meta, image, genes, table] }
        .join(ch_designs)
        .map { meta, image, genes, table, design -> [meta, image, genes, design, table] }

    // [meta, features of the other tissue], [] where there is none of the size.
    ch_wrong = controls.tokenize(',').contains('wrong_tissue')
        ? features.combine(donors.map { all -> [otherTissues(all)] })
            .map { meta, _path, others -> [[others[meta.tissue_id], meta.size], meta] }
            .join(features.map { meta, path -> [[meta.tissue_id, meta.size], path] }, remainder: true)
            .filter { _key, meta, _path -> meta }
            .map { _key, meta, path -> [meta, path ?: []] }
        : features.map { meta, _path -> [meta, []] }
    ASSOCIATE(
        unlessSkipped('associate', ch_modelled.join(ch_wrong)),
        opts.genes ? file(opts.genes) : [],
        opts.subMap(['aggregations', 'correction', 'alpha', 'max_permutations', 'seed']) + declared,
    )

    SHARED_VARIANCE(
        unlessSkipped('shared_variance', ch_modelled),
        opts.subMap(['aggregations', 'seed']) + declared,
    )
    COMBINE_SCALES(
        unlessSkipped(
            'combine_scales',
            SHARED_VARIANCE.out.scales
                .map { meta, paths -> [meta.tissue_id, paths] }
                .groupTuple()
                .map { tissue_id, paths -> [[id: tissue_id], paths.flatten().sort { path -> path.name }] },
        ),
        [primary: primary, seed: opts.seed],
    )

    // [group, files] of the sides of a comparison: tissues of a size, sizes of a tissue, and with a second cohort all.
    ch_results = ASSOCIATE.out.results.join(features).join(ch_designs)
        .map { meta, found, image, design -> [meta.tissue_id, meta, [found, image, design]] }
        .combine(ch_expression, by: 0)
        .map { _tissue_id, meta, files, genes -> [meta, files.flatten() + [genes]] }
    def second = opts.replication ? files("${opts.replication}/**.{associations.parquet,association_genes.parquet,h5ad,design.tsv}").sort { path -> path.name } : []
    ch_groups = ch_results.map { meta, files -> ["size_${meta.size}".toString(), 'tissues', files] }
        .mix(ch_results.map { meta, files -> ["tissue_${meta.tissue_id}".toString(), 'sizes', files] })
        .groupTuple()
        .filter { _group, _across, files -> files.size() > 1 }
        .map { group, across, files -> [[id: group], across[0], files.flatten().unique().sort(by_name), []] }
    ch_second = second
        ? ch_results.map { _meta, files -> files }.collect().map { files -> [[id: 'replication'], 'cohorts', files.flatten().unique().sort(by_name), second] }
        : channel.empty()
    COMPARE_ASSOCIATIONS(unlessSkipped('compare_associations', ch_groups.mix(ch_second)), opts.subMap(['alpha']))
    COMPARE_SETTINGS(
        unlessSkipped(
            'compare_settings',
            ch_results.map { meta, files -> [meta.tissue_id, files] }
                .groupTuple()
                .map { tissue_id, files -> [[id: tissue_id], files.flatten().unique().sort(by_name)] },
        ),
        [primary: primary, seed: opts.seed],
    )

    // Settings of other sizes are predicted on request alone.
    PREDICT_EXPRESSION(
        unlessSkipped(
            'predict_expression',
            ch_modelled.filter { meta, _image, _genes, _design, _table -> opts.predict_settings == 'all' || meta.size == primary.tokenize(',')[0] },
        ),
        opts.subMap(['aggregations', 'predict_settings', 'alpha', 'seed']) + declared,
    )

    ENRICH(
        unlessSkipped(
            'enrich',
            ch_modelled.map { meta, image, genes, design, _table -> [meta, image, genes, design] }
                .join(ADJUST_CONFOUNDERS.out.genes),
        ),
        gene_sets,
        opts.marker_sets ? file(opts.marker_sets) : [],
        opts.gprofiler_cache ? file(opts.gprofiler_cache) : [],
        opts.subMap(['aggregations', 'correction', 'alpha', 'enrich_settings', 'enrich_features', 'gprofiler', 'gprofiler_organism', 'gprofiler_url', 'seed'])
            + declared + [bundled: !opts.gene_sets && !opts.simulate],
    )
    ASSOCIATE_ANNOTATIONS(
        unlessSkipped('associate_annotations', ch_modelled),
        labels,
        opts.cell_fractions ? file(opts.cell_fractions) : [],
        opts.subMap(['aggregations', 'annotation_permutations', 'alpha', 'seed']) + [primary: primary],
    )
    COMBINE_ENRICHMENT(
        unlessSkipped(
            'combine_enrichment',
            ENRICH.out.pairs.mix(ENRICH.out.tables.flatten(), COMPARE_SETTINGS.out.tables.flatten(), PREDICT_EXPRESSION.out.genes.map { _meta, path -> path })
                .toSortedList(by_name)
                .filter { all -> all },
        )
    )

    emit:
    modelled = ch_modelled                                                                          // channel: [ meta, features, expression, design, table ]
    found    = ASSOCIATE.out.results.map { meta, paths -> [meta, paths.find { path -> path.name.endsWith('.association_genes.parquet') }] } // channel: [ meta, path ]
    tables   = ASSOCIATE.out.tables.flatten().mix(
        ASSOCIATE.out.genes.flatten(), ADJUST_CONFOUNDERS.out.tables.flatten(), SHARED_VARIANCE.out.tables.flatten(),
        COMBINE_SCALES.out.tables.flatten(), COMPARE_ASSOCIATIONS.out.tables, COMPARE_SETTINGS.out.tables.flatten(),
        PREDICT_EXPRESSION.out.tables.flatten(), ENRICH.out.tables.flatten(), COMBINE_ENRICHMENT.out.tables.flatten(),
        ASSOCIATE_ANNOTATIONS.out.tables.flatten(),
    )                                                                                               // channel: path
    labels   = ASSOCIATE_ANNOTATIONS.out.values                                                     // channel: [ meta, path(*.label_values.tsv) ]
    explored = ASSOCIATE.out.results.map { _meta, paths -> paths.find { path -> path.name.endsWith('.associations.parquet') } }.mix(
        PREDICT_EXPRESSION.out.genes.map { _meta, path -> path }, ENRICH.out.pairs, ch_designs.map { _meta, path -> path },
        ASSOCIATE_ANNOTATIONS.out.features.map { _meta, path -> path },
    )                                                                                               // channel: path, what the explorer reads beside tables
    genes    = ASSOCIATE.out.genes.flatten()                                                        // channel: path(*_genes.parquet)
    models   = PREDICT_EXPRESSION.out.models.map { _meta, paths -> paths }                          // channel: path(*.model.h5), or lists
    losses   = ADJUST_CONFOUNDERS.out.dropped.mix(
        SHARED_VARIANCE.out.dropped, COMBINE_SCALES.out.dropped, ASSOCIATE.out.dropped, COMPARE_SETTINGS.out.dropped,
        PREDICT_EXPRESSION.out.dropped, ENRICH.out.dropped, ASSOCIATE_ANNOTATIONS.out.dropped,
    )                                                                                               // channel: path(*.dropped.tsv)
    versions = ADJUST_CONFOUNDERS.out.versions.mix(
        SHARED_VARIANCE.out.versions, COMBINE_SCALES.out.versions, ASSOCIATE.out.versions, COMPARE_ASSOCIATIONS.out.versions, COMPARE_SETTINGS.out.versions,
        PREDICT_EXPRESSION.out.versions, ENRICH.out.versions, COMBINE_ENRICHMENT.out.versions, ASSOCIATE_ANNOTATIONS.out.versions,
    )                                                                                               // channel: path(versions.yml)
}
