// Genotypes of the donors: read once, then asked what they say of features and of causes, a task a tissue at the primary size.

include { pathList; declaredSetting } from './params.nf'
include { stageQueues       } from './stages.nf'
include { PREPARE_GENOTYPES } from '../modules/prepare_genotypes/main.nf'
include { MAP_QTL           } from '../modules/map_qtl/main.nf'
include { TEST_CAUSALITY    } from '../modules/test_causality/main.nf'

// Donor rows with the genotype components of a table as further covariates, '' for a donor without genotypes.
def withComponents(rows, table) {
    def components = table.splitCsv(header: true, sep: '\t').collectEntries { row -> [row.donor, row.findAll { name, _value -> name != 'donor' }] }
    def blank = components ? components.values()[0].collectEntries { name, _value -> [name, ''] } : [:]
    return rows.collect { row -> row + (components[row.donor] ?: blank) }
}

// Before any statistic: genotype components are covariates of the donors.
workflow GENOTYPES {
    take:
    donors    // value: list of donor rows
    genotypes // value: list of paths, [] of a cohort without
    positions // value: path of gene positions or []
    opts      // map of typed parameters

    main:
    PREPARE_GENOTYPES(
        genotypes.filter { paths -> paths },
        donors.map { rows -> rows.collect { row -> row.donor }.unique().sort().join('\n') },
        positions,
        [build: opts.genotype_build],
    )

    emit:
    donors    = donors.map { rows -> [rows] }.combine(PREPARE_GENOTYPES.out.pcs.ifEmpty([]).map { table -> [table] })
        .map { rows, table -> table ? withComponents(rows, table) : rows }
        .first()                                                       // value: list of donor rows
    genotypes = PREPARE_GENOTYPES.out.genotypes                        // value: path(genotypes.h5); empty without genotypes
    tables    = PREPARE_GENOTYPES.out.tables.flatten()                 // channel: path(*.tsv)
    losses    = PREPARE_GENOTYPES.out.dropped                          // channel: path(*.dropped.tsv)
    versions  = PREPARE_GENOTYPES.out.versions                         // channel: path(versions.yml)
}

workflow GENETICS {
    take:
    modelled  // channel: [ meta, features, expression, design, table ] of EXPLAIN
    found     // channel: [ meta, path(<setting prefix>.association_genes.parquet) ]
    labels    // channel: [ meta, path(*.label_values.tsv) ]; empty where annotations are skipped
    genotypes // value: path(genotypes.h5); empty without genotypes
    positions // value: path of gene positions or []
    opts      // map of typed parameters

    main:
    def unlessSkipped = stageQueues(opts)
    def primary = declaredSetting(opts)
    // Donors who change places are the null of genotypes as of features.
    def shuffled = opts.controls.tokenize(',').any { control -> control in ['shuffle_donors', 'permute_genotypes'] }
    def size = primary.tokenize(',')[0]
    ch_primary = modelled.filter { meta, _image, _genes, _design, _table -> meta.size == size }

    MAP_QTL(
        unlessSkipped('map_qtl', ch_primary.map { meta, image, genes, design, _table -> [meta, image, design, genes] }),
        genotypes,
        positions,
        opts.subMap(['qtl_scope', 'qtl_features', 'qtl_pcs', 'qtl_min_mac', 'qtl_min_maf', 'qtl_permutations', 'alpha', 'seed'])
            + [primary: primary, controls: shuffled ? 'permute_genotypes' : 'none'],
    )

    TEST_CAUSALITY(
        unlessSkipped(
            'test_causality',
            ch_primary.map { meta, image, genes, design, _table -> [meta, image, genes, design] }
                // Pairs that the user names take the place of those found, and may be of annotations.
                .join(opts.causality_pairs ? ch_primary.map { item -> [item[0], []] } : found.filter { meta, _path -> meta.size == size })
                .join(opts.causality_pairs ? labels.filter { meta, _path -> meta.size == size } : channel.empty(), remainder: true)
                .filter { item -> item[1] }
                .map { meta, image, genes, design, pairs, values -> [meta, image, genes, design, pairs, values ?: []] },
        ),
        genotypes.ifEmpty([]),
        positions,
        opts.causality_pairs ? file(opts.causality_pairs) : [],
        pathList(opts.causality_summaries),
        opts.subMap(['causality_top', 'qtl_min_mac', 'qtl_min_maf', 'alpha', 'seed']) + [primary: primary],
    )

    emit:
    tables   = MAP_QTL.out.tables.mix(TEST_CAUSALITY.out.tables).flatten() // channel: path(*.tsv)
    losses   = MAP_QTL.out.dropped.mix(TEST_CAUSALITY.out.dropped)         // channel: path(*.dropped.tsv)
    versions = MAP_QTL.out.versions.mix(TEST_CAUSALITY.out.versions)       // channel: path(versions.yml)
}
