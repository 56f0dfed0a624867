# Reference values for tests/stats/test_cox_lung1.py: what R's survival package says about the table of the
# study lung1 (TCIA NSCLC-Radiomics, CC BY-NC 3.0). The patients' rows stay where they are; only aggregates are written.
#
#   Rscript lung1.R <lung1_421_pyradiomics_clinical_survival.csv.gz> lung1.json
#
# Columns, missing words, levels and recoded stages are those of studies/lung1.yaml.
suppressPackageStartupMessages({library(survival); library(jsonlite)})

given <- commandArgs(trailingOnly = TRUE)
raw <- read.csv(gzfile(given[1]), check.names = FALSE, colClasses = c(clinical.T.Stage = "character"),
                na.strings = c("", "NA", "Unknown"))
feature <- function(name) as.numeric(raw[[name]])
d <- data.frame(
  time = raw$Survival.time,  # days; nothing below depends on the unit
  event = raw$deadstatus.event,
  age = raw$age,
  sex = factor(raw$gender, c("female", "male")),
  stage = factor(raw$Overall.Stage, c("I", "II", "IIIa", "IIIb")),
  n_stage = factor(ifelse(raw$Clinical.N.Stage == 4, 3, raw$Clinical.N.Stage), 0:3),
  diameter = feature("original_shape_Maximum2DDiameterSlice"),
  flatness = feature("original_shape_Flatness"),
  entropy = feature("wavelet-LLL_glszm_ZoneEntropy")
)

models <- list(
  clinical = "age + sex + stage",
  radiomics = "diameter + flatness + entropy",
  combined = "age + sex + stage + diameter + flatness + entropy"
)

tests <- function(fit, transform) {
  found <- as.data.frame(cox.zph(fit, transform = transform)$table)
  list(term = rownames(found), chi2 = found$chisq, df = found$df, p = found$p)
}

log_rank <- function(formula, data) {
  found <- survdiff(formula, data = data)
  df <- length(found$n) - 1
  list(group = sub("^[^=]*=", "", names(found$n)), n = as.integer(found$n), observed = found$obs,
       expected = found$exp, chi2 = found$chisq, df = df, p = pchisq(found$chisq, df, lower.tail = FALSE))
}

# The risk groups of a model: above the median of its linear predictor, or not.
values_of <- function(terms) {
  formula <- as.formula(paste("Surv(time, event) ~", terms))
  used <- d[complete.cases(d[all.vars(formula)]), ]
  fit <- coxph(formula, data = used, ties = "efron",
               control = coxph.control(eps = 1e-13, toler.chol = 1e-14, iter.max = 50))
  lp <- predict(fit, type = "lp", reference = "sample")
  used$group <- factor(ifelse(lp > median(lp), "high", "low"), c("low", "high"))
  harrell <- concordance(fit)
  uno <- concordance(Surv(time, event) ~ lp, data = used, reverse = TRUE, timewt = "n/G2", ymax = 36 * 30.4375)
  found <- summary(fit)
  list(
    terms = terms, n = fit$n, events = fit$nevent, coef_names = names(coef(fit)), coef = unname(coef(fit)),
    se = unname(found$coefficients[, "se(coef)"]), p = unname(found$coefficients[, "Pr(>|z|)"]),
    hr_ci_lower = unname(found$conf.int[, "lower .95"]), hr_ci_upper = unname(found$conf.int[, "upper .95"]),
    loglik_null = fit$loglik[1], loglik = fit$loglik[2],
    likelihood_ratio = unname(found$logtest["test"]), likelihood_ratio_p = unname(found$logtest["pvalue"]),
    wald = fit$wald.test, score = unname(fit$score),
    concordance = list(C = unname(harrell$concordance), se = sqrt(harrell$var), count = as.list(harrell$count)),
    uno_36_months = list(C = unname(uno$concordance), se = sqrt(uno$var)),
    cox_zph = sapply(c("km", "identity", "rank", "log"), function(g) tests(fit, g), simplify = FALSE),
    log_rank_risk_groups = log_rank(Surv(time, event) ~ group, used)
  )
}

out <- list(
  source = "R package survival",
  table = "lung1_421_pyradiomics_clinical_survival.csv.gz",
  md5 = unname(tools::md5sum(given[1])),
  versions = list(R = paste(R.version$major, R.version$minor, sep = "."),
                  survival = as.character(packageVersion("survival"))),
  rows = nrow(d), events = sum(d$event),
  features = list(diameter = "original_shape_Maximum2DDiameterSlice", flatness = "original_shape_Flatness",
                  entropy = "wavelet-LLL_glszm_ZoneEntropy"),
  models = lapply(models, values_of),
  log_rank = list(sex = log_rank(Surv(time, event) ~ sex, d), stage = log_rank(Surv(time, event) ~ stage, d),
                  n_stage = log_rank(Surv(time, event) ~ n_stage, d))
)
writeLines(toJSON(out, auto_unbox = TRUE, digits = I(17), pretty = TRUE, null = "null", na = "null"), given[2])
