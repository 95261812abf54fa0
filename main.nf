// HistoGEx: what a tissue slide says about gene expression.
// Parameters become channels here, five subworkflows do the work; each process wraps one command line of bin/.

include { helpText; lockResults; validatedParams; writeParams } from './subworkflows/params.nf'
include { checkTools } from './subworkflows/checks.nf'
include { skippedStages } from './subworkflows/stages.nf'
include { estimateText } from './subworkflows/estimate.nf'
include { COHORT       } from './subworkflows/cohort.nf'
include { SLIDES       } from './subworkflows/slides.nf'
include { FEATURES     } from './subworkflows/features.nf'
include { EXPLAIN      } from './subworkflows/explain.nf'
include { GENETICS; GENOTYPES } from './subworkflows/genetics.nf'
include { DESCRIBE     } from './subworkflows/describe.nf'
include { REPORT       } from './subworkflows/report.nf'
include { PREDICT      } from './subworkflows/predict.nf'

workflow {
    if ("${params.help}".toBoolean()) {
        println(helpText())
        System.exit(0)
    }
    if ("${params.version}".toBoolean()) {
        println("HistoGEx ${workflow.manifest.version}")
        System.exit(0)
    }
    def opts = validatedParams(params)
    if (opts.estimate) {
        println(estimateText(opts))
        System.exit(0)
    }
    checkTools()
    def lock = lockResults(opts)
    writeParams(opts)

    if (opts.predict) {
        PREDICT(opts)
    }
    else {
        COHORT(opts)
        GENOTYPES(COHORT.out.donors, COHORT.out.genotypes, COHORT.out.positions, opts)

        ch_summaries = channel.empty()
        ch_status = channel.value([])
        ch_splits = channel.empty()
        ch_grids = channel.empty()
        ch_encoders = channel.empty()
        ch_tables = GENOTYPES.out.tables
        ch_sheets = channel.empty()
        ch_tissues = channel.empty()
        ch_galleries = channel.empty()
        ch_pictures = channel.empty()
        ch_losses = COHORT.out.losses.mix(GENOTYPES.out.losses)
        ch_versions = COHORT.out.versions.mix(GENOTYPES.out.versions)
        if (!opts.features) {
            SLIDES(COHORT.out.sheet, COHORT.out.slides, opts)
            ch_summaries = SLIDES.out.summaries
            ch_status = SLIDES.out.status
            ch_splits = SLIDES.out.splits
            ch_grids = SLIDES.out.patches
            ch_encoders = SLIDES.out.encoders
            ch_tables = SLIDES.out.classifier
            ch_sheets = SLIDES.out.sheets
            ch_tissues = SLIDES.out.figures
            ch_losses = ch_losses.mix(SLIDES.out.losses)
            ch_versions = ch_versions.mix(SLIDES.out.versions)
        }

        FEATURES(ch_summaries, ch_status, ch_splits, COHORT.out.donors, COHORT.out.expression, opts)
        EXPLAIN(FEATURES.out.features, FEATURES.out.expression, GENOTYPES.out.donors, COHORT.out.gene_sets, COHORT.out.labels, opts)
        GENETICS(EXPLAIN.out.modelled, EXPLAIN.out.found, EXPLAIN.out.labels, GENOTYPES.out.genotypes, COHORT.out.positions, opts)
        ch_tables = ch_tables.mix(FEATURES.out.tables, EXPLAIN.out.tables, GENETICS.out.tables)
        ch_losses = ch_losses.mix(FEATURES.out.losses, EXPLAIN.out.losses, GENETICS.out.losses)
        ch_versions = ch_versions.mix(FEATURES.out.versions, EXPLAIN.out.versions, GENETICS.out.versions)
        if (!skippedStages(opts).containsKey('describe_features')) {
            DESCRIBE(
                FEATURES.out.features, EXPLAIN.out.genes, EXPLAIN.out.models, ch_summaries, ch_grids, ch_encoders,
                COHORT.out.sheet, COHORT.out.slides, COHORT.out.annotations.ifEmpty([]).first(), opts,
            )
            ch_tables = ch_tables.mix(DESCRIBE.out.tables)
            ch_sheets = ch_sheets.mix(DESCRIBE.out.sections)
            ch_pictures = DESCRIBE.out.pictures
            ch_galleries = DESCRIBE.out.galleries
            ch_losses = ch_losses.mix(DESCRIBE.out.losses)
            ch_versions = ch_versions.mix(DESCRIBE.out.versions)
        }

        REPORT(
            COHORT.out.tables.mix(COHORT.out.annotations),
            ch_losses,
            ch_status,
            ch_tables,
            ch_sheets,
            EXPLAIN.out.explored,
            ch_pictures,
            ch_galleries,
            ch_tissues,
            FEATURES.out.features,
            FEATURES.out.expression,
            COHORT.out.truth,
            ch_versions,
            opts,
        )
    }

    workflow.onComplete = {
        lock?.close()
        def stats = workflow.stats
        println("HistoGEx: ${workflow.success ? 'done' : 'stopped'} after ${workflow.duration}: ${stats.succeedCount} tasks run, ${stats.cachedCount} cached, ${stats.failedCount} failed")
        if (workflow.success) {
            def losses = file("${opts.outdir}/${opts.predict ? 'prediction' : 'summary'}/dropped.tsv")
            if (losses.exists()) {
                def lost = losses.readLines().drop(1).collect { line -> line.tokenize('\t')[0..1] }.toSet().countBy { pair -> pair[1] }.sort()
                println("Lost: ${lost ? lost.collect { kind, n -> "${n} ${kind}" }.join(', ') : 'nothing'} (${losses})")
            }
            println(opts.predict ? "Predicted, not measured: ${opts.outdir}/prediction" : "Report: ${opts.outdir}/multiqc_report.html and ${opts.outdir}/explorer/index.html")
        }
        else {
            println("Why: ${workflow.errorReport ?: workflow.errorMessage ?: 'see .nextflow.log'}")
        }
    }
}
