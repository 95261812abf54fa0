// What image features and expression have to do with each other, tissue by tissue and size by size.

include { ASSOCIATE } from '../modules/associate/main.nf'

workflow EXPLAIN {
    take:
    features   // channel: [ meta, path(<tissue_id>.<size>.h5ad) ]
    expression // channel: [ meta, path(<tissue_id>.expression.h5ad) ]
    opts       // map of typed parameters

    main:
    ch_pairs = features.map { meta, path -> [meta.tissue_id, meta, path] }
        .combine(expression.map { meta, path -> [meta.id, path] }, by: 0)
        .map { _tissue_id, meta, image, genes -> [meta, image, genes] }
    ASSOCIATE(ch_pairs, opts.subMap(['aggregations', 'controls', 'correction', 'alpha', 'seed']))

    emit:
    tables   = ASSOCIATE.out.summary.mix(ASSOCIATE.out.qq, ASSOCIATE.out.genes, ASSOCIATE.out.associations) // channel: path
    losses   = ASSOCIATE.out.dropped                                                                        // channel: path(*.dropped.tsv)
    versions = ASSOCIATE.out.versions                                                                       // channel: path(versions.yml)
}
