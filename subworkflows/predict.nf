// New slides -> features -> genes by the models of an earlier run. No expression, no covariates: predicted, not measured.

include { modelSettings } from './models.nf'
include { COHORT      } from './cohort.nf'
include { SLIDES      } from './slides.nf'
include { FEATURES    } from './features.nf'
include { APPLY_MODEL } from '../modules/apply_model/main.nf'

workflow PREDICT {
    take:
    opts // map of typed parameters, of predictOptions

    main:
    def models = modelSettings(opts)
    COHORT(opts)
    ch_summaries = channel.empty()
    ch_status = channel.value([])
    ch_losses = COHORT.out.losses
    ch_versions = COHORT.out.versions
    if (!opts.features) {
        SLIDES(COHORT.out.sheet, COHORT.out.slides, opts)
        ch_summaries = SLIDES.out.summaries
        ch_status = SLIDES.out.status
        ch_losses = ch_losses.mix(SLIDES.out.losses)
        ch_versions = ch_versions.mix(SLIDES.out.versions)
    }
    FEATURES(ch_summaries, ch_status, channel.empty(), COHORT.out.donors, channel.empty(), opts)

    APPLY_MODEL(
        channel.fromList(models.collect { model -> [[model.tissue_id, model.size], model.path] })
            .combine(FEATURES.out.features.map { meta, path -> [[meta.tissue_id, meta.size], path] }, by: 0)
            .map { _key, model, path -> [[id: model.name - '.model.h5'], model, path] }
    )
    ch_losses.mix(FEATURES.out.losses)
        .collectFile(name: 'dropped.tsv', storeDir: "${opts.outdir}/prediction", keepHeader: true, skip: 1, sort: { path -> path.text })
    ch_versions.mix(FEATURES.out.versions, APPLY_MODEL.out.versions)
        .map { path -> path.text.trim() }
        .unique()
        .collectFile(name: 'software_versions.yml', storeDir: "${opts.outdir}/pipeline_info", sort: true, newLine: true)

    emit:
    predicted = APPLY_MODEL.out.predicted // channel: path(*.predicted.tsv)
}
