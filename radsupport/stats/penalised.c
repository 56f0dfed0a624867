/* The two innermost loops of radsupport.stats.penalised: the exact L1 quadratic, and the logistic fit at one penalty.
 *
 * Both do what the Python functions of that file do, which tests compare with them; matrices here are so small that the
 * calls of numpy would take longer than the numbers. BLAS and LAPACK are scipy's (scipy.linalg.cython_blas). */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <string.h>

static void (*gemv)(char *, int *, int *, double *, double *, int *, double *, int *, double *, double *, int *);
static void (*syrk)(char *, char *, int *, int *, double *, double *, int *, double *, double *, int *);
static void (*posv)(char *, int *, int *, double *, int *, double *, int *, int *);
static void (*gesv)(int *, int *, double *, int *, int *, double *, int *, int *);

enum { SOLVED = 0, SINGULAR = 1, UNSETTLED = 2, NO_MEMORY = 3 };
static const double STRICT = 1e-9, LOOSE = 1e-6;   /* of the largest penalty, as in penalised.py */
static const int NEWTON = 200, TOGETHER = 10, HALVINGS = 40;

static double sign_of(double v) { return (v > 0) - (v < 0); }

/* y = a x or a' x for a row-major matrix of `rows` times `columns` */
static void times(const double *a, int rows, int columns, const double *x, double *y, int transposed)
{
    double one = 1, zero = 0;
    int step = 1;
    if (rows && columns)
        gemv(transposed ? "N" : "T", &columns, &rows, &one, (double *)a, &columns, (double *)x, &step, &zero, y, &step);
    else
        memset(y, 0, sizeof(double) * (size_t)(transposed ? columns : rows));
}

/* The chosen rows and columns of a matrix, with a little on the diagonal. */
static void chosen_part(const double *h, int p, const int *chosen, int m, double ridge, double *part)
{
    for (int i = 0; i < m; i++) {
        for (int j = 0; j < m; j++) part[i * m + j] = h[chosen[i] * p + chosen[j]];
        part[i * m + i] += ridge;
    }
}

/* Minimise b'Hb / 2 - c'b + sum of l1 |b|, starting from b; `room` holds p * p + 6 p doubles and 3 p ints. */
static int quadratic(int p, const double *h, const double *linear, const double *l1, double *b, double *room)
{
    double *part = room, *sign = part + p * p, *target = sign + p, *pull = target + p, *right = pull + p;
    int *chosen = (int *)(right + p), *pivots = chosen + p, *active = pivots + p;
    double tolerance = 0, trace = 0;
    int one = 1, info;

    for (int j = 0; j < p; j++) {
        tolerance = fmax(tolerance, fmax(fabs(linear[j]), l1[j]));
        trace += h[j * p + j];
        sign[j] = sign_of(b[j]);
        active[j] = b[j] != 0 || l1[j] == 0;
    }
    tolerance *= 1e-12;
    const double ridge = 1e-14 * trace / p + 1e-300;
    for (int turn = 0; turn < 20 * p + 100; turn++) {
        int m = 0, first = -1, worst = -1;
        double share = INFINITY, most = -INFINITY;
        for (int j = 0; j < p; j++)
            if (active[j]) { right[m] = linear[j] - l1[j] * sign[j]; chosen[m++] = j; }
        if (m) {
            memcpy(target, right, sizeof(double) * m);
            chosen_part(h, p, chosen, m, ridge, part);
            posv("L", &m, &one, part, &m, target, &m, &info);
            if (info) {
                memcpy(target, right, sizeof(double) * m);
                chosen_part(h, p, chosen, m, ridge, part);
                gesv(&m, &one, part, &m, pivots, target, &m, &info);
                if (info) return SINGULAR;
            }
        }
        for (int i = 0; i < m; i++) {
            const int j = chosen[i];
            if (l1[j] > 0 && target[i] * sign[j] <= 0) {
                const double move = target[i] - b[j], own = -b[j] / (move == 0 ? -1 : move);
                if (first < 0 || own < share) { share = own; first = i; }
            }
        }
        if (first >= 0) {
            share = fmin(fmax(share, 0), 1);
            for (int i = 0; i < m; i++) b[chosen[i]] += share * (target[i] - b[chosen[i]]);
            b[chosen[first]] = sign[chosen[first]] = 0;
            active[chosen[first]] = 0;
            continue;
        }
        memcpy(pull, linear, sizeof(double) * p);
        for (int i = 0; i < m; i++) {
            const double *row = h + (size_t)chosen[i] * p;
            b[chosen[i]] = target[i];
            for (int j = 0; j < p; j++) pull[j] -= row[j] * target[i];
        }
        for (int j = 0; j < p; j++)
            if (!active[j] && fabs(pull[j]) - l1[j] > most) { most = fabs(pull[j]) - l1[j]; worst = j; }
        if (worst < 0 || most <= tolerance) return SOLVED;
        for (int j = 0; j < p; j++)
            if (!active[j] && (turn < TOGETHER ? fabs(pull[j]) - l1[j] > tolerance : j == worst)) {
                active[j] = 1;
                sign[j] = sign_of(pull[j]);
            }
    }
    return SOLVED;
}

/* Log-likelihood per subject and its derivative by each linear predictor; p holds the probabilities. */
static double gradient(int n, const double *y, const double *eta, double *residual, double *p)
{
    double value = 0;
    for (int i = 0; i < n; i++) {
        const double small = exp(-fabs(eta[i]));
        p[i] = (eta[i] >= 0 ? 1 : small) / (1 + small);
        value += fmax(y[i] == 1 ? -eta[i] : eta[i], 0) + log1p(small);
        residual[i] = (y[i] - p[i]) / n;
    }
    return -value / n;
}

static double penalty(int w, const double *l1, const double *l2, const double *b)
{
    double sum = 0;
    for (int j = 0; j < w; j++) sum += l1[j] * fabs(b[j]) + l2[j] * b[j] * b[j] / 2;
    return sum;
}

typedef struct {
    int n, w;
    const double *y;
    double *eta, *residual, *prob;                       /* of each subject, at the coefficients reached */
    double *columns, *weighted, *l1, *l2, *b, *target, *candidate, *score, *next_eta, *next_residual, *hessian, *room;
    double value;
} Work;

/* One Newton step on the columns at work, halved until the penalised likelihood rises; 0 where it does not. */
static int step(Work *k, int *status)
{
    const int n = k->n, w = k->w;
    int inner = n, size = w;
    double one = 1, zero = 0;
    const double objective = k->value - penalty(w, k->l1, k->l2, k->b), slack = 1e-15 * (fabs(objective) + 1);

    for (int i = 0; i < n; i++) {
        const double root = sqrt(k->prob[i] * (1 - k->prob[i]) / n);
        for (int j = 0; j < w; j++) k->weighted[i * w + j] = root * k->columns[i * w + j];
    }
    syrk("L", "N", &size, &inner, &one, k->weighted, &size, &zero, k->hessian, &size);
    for (int i = 0; i < w; i++) {                        /* the other half: LAPACK's lower one is the upper one in C */
        k->hessian[i * w + i] += k->l2[i];
        for (int j = 0; j < i; j++) k->hessian[i * w + j] = k->hessian[j * w + i];
    }
    times(k->hessian, w, w, k->b, k->candidate, 0);
    for (int j = 0; j < w; j++) k->candidate[j] += k->score[j];
    memcpy(k->target, k->b, sizeof(double) * w);
    if ((*status = quadratic(w, k->hessian, k->candidate, k->l1, k->target, k->room))) return 0;
    double share = 1;
    for (int turn = 0; turn < HALVINGS; turn++, share /= 2) {
        for (int j = 0; j < w; j++) k->candidate[j] = k->b[j] + share * (k->target[j] - k->b[j]);
        times(k->columns, n, w, k->candidate, k->next_eta, 0);
        const double value = gradient(n, k->y, k->next_eta, k->next_residual, k->prob);
        if (isfinite(value) && value - penalty(w, k->l1, k->l2, k->candidate) >= objective - slack) {
            memcpy(k->b, k->candidate, sizeof(double) * w);
            memcpy(k->eta, k->next_eta, sizeof(double) * n);
            memcpy(k->residual, k->next_residual, sizeof(double) * n);
            k->value = value;
            return 1;
        }
    }
    return 0;
}

/* Maximise value - l1 |b| - l2 b^2 / 2 from the coefficients given, until the optimality conditions hold. */
static int logistic(int n, int p, const double *x, const double *y, const double *l1, const double *l2, double *beta,
                    double largest, double *value)
{
    Work k = {.n = n, .y = y};
    int status = UNSETTLED, turns = 0, *work = PyMem_RawMalloc(sizeof(int) * (size_t)p);
    double *ground = PyMem_RawMalloc(sizeof(double) * ((size_t)5 * n + p)), *block = NULL, worst = INFINITY;
    if (!work || !ground) { status = NO_MEMORY; goto end; }
    double *score = ground + 5 * n;
    k.eta = ground; k.residual = ground + n; k.prob = ground + 2 * n;
    k.next_eta = ground + 3 * n; k.next_residual = ground + 4 * n;
    memset(k.eta, 0, sizeof(double) * n);
    k.w = 0;
    for (int j = 0; j < p; j++) if (beta[j] != 0) work[k.w++] = j;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < k.w; j++) k.eta[i] += x[(size_t)i * p + work[j]] * beta[work[j]];
    k.value = gradient(n, y, k.eta, k.residual, k.prob);
    while (turns < NEWTON) {
        times(x, n, p, k.residual, score, 1);
        k.w = 0;
        worst = 0;
        for (int j = 0; j < p; j++) {
            score[j] -= l2[j] * beta[j];
            const double over = fabs(score[j]) - l1[j];
            worst = fmax(worst, beta[j] != 0 ? fabs(score[j] - l1[j] * sign_of(beta[j])) : over);
            if (beta[j] != 0 || over > 0 || l1[j] == 0) work[k.w++] = j;
        }
        if (worst <= STRICT * largest) { status = SOLVED; break; }
        const size_t w = k.w;
        PyMem_RawFree(block);
        block = PyMem_RawMalloc(sizeof(double) * (2 * n * w + 2 * w * w + 15 * w));
        if (!block) { status = NO_MEMORY; break; }
        double *at = block;
        k.columns = at; k.weighted = at += n * w; k.hessian = at += n * w; k.l1 = at += w * w; k.l2 = at += w;
        k.b = at += w; k.target = at += w; k.candidate = at += w; k.score = at += w; k.room = at + w;
        for (size_t j = 0; j < w; j++) {
            k.l1[j] = l1[work[j]]; k.l2[j] = l2[work[j]]; k.b[j] = beta[work[j]]; k.score[j] = score[work[j]];
            for (int i = 0; i < n; i++) k.columns[i * w + j] = x[(size_t)i * p + work[j]];
        }
        int moved = 1, open = 1;
        while (open && turns++ < NEWTON && (moved = step(&k, &status))) {   /* until these columns are settled */
            times(k.columns, n, k.w, k.residual, k.score, 1);
            open = 0;
            for (size_t j = 0; j < w; j++) {
                k.score[j] -= k.l2[j] * k.b[j];
                const double off = k.b[j] != 0 ? fabs(k.score[j] - k.l1[j] * sign_of(k.b[j]))
                                               : fabs(k.score[j]) - k.l1[j];
                open |= off > STRICT * largest;
            }
        }
        if (!moved && status == SINGULAR) break;
        for (size_t j = 0; j < w; j++) beta[work[j]] = k.b[j];
        if (!moved) { status = SOLVED; break; }          /* nothing but rounding is left to gain */
        status = UNSETTLED;
    }
    if (status == UNSETTLED && worst <= LOOSE * largest) status = SOLVED;
    *value = k.value;
end:
    PyMem_RawFree(block);
    PyMem_RawFree(ground);
    PyMem_RawFree(work);
    return status;
}

/* logistic(x, y, l1, l2, beta, largest): contiguous doubles; changes beta, returns the status and the value. */
static PyObject *py_logistic(PyObject *self, PyObject *args)
{
    Py_buffer b[5];
    double largest, value = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*y*y*w*d", b, b + 1, b + 2, b + 3, b + 4, &largest)) return NULL;
    const int status = logistic((int)(b[1].len / 8), (int)(b[2].len / 8), b[0].buf, b[1].buf, b[2].buf, b[3].buf,
                                b[4].buf, largest, &value);
    for (int i = 0; i < 5; i++) PyBuffer_Release(b + i);
    return status == NO_MEMORY ? PyErr_NoMemory() : Py_BuildValue("id", status, value);
}

/* quadratic(hessian, linear, l1, b): contiguous doubles; changes b, returns the status. */
static PyObject *py_quadratic(PyObject *self, PyObject *args)
{
    Py_buffer b[4];
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*y*w*", b, b + 1, b + 2, b + 3)) return NULL;
    const size_t p = b[1].len / 8;
    double *room = PyMem_RawMalloc(sizeof(double) * (p * p + 6 * p));
    const int status = room ? quadratic((int)p, b[0].buf, b[1].buf, b[2].buf, b[3].buf, room) : NO_MEMORY;
    PyMem_RawFree(room);
    for (int i = 0; i < 4; i++) PyBuffer_Release(b + i);
    return status == NO_MEMORY ? PyErr_NoMemory() : PyLong_FromLong(status);
}

static void *function_of(const char *module, const char *name)
{
    PyObject *from = PyImport_ImportModule(module);
    PyObject *all = from ? PyObject_GetAttrString(from, "__pyx_capi__") : NULL;
    PyObject *capsule = all ? PyMapping_GetItemString(all, name) : NULL;
    void *found = capsule ? PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule)) : NULL;
    Py_XDECREF(capsule);
    Py_XDECREF(all);
    Py_XDECREF(from);
    return found;
}

static PyMethodDef methods[] = {{"logistic", py_logistic, METH_VARARGS, "Fit at one penalty."},
                                {"quadratic", py_quadratic, METH_VARARGS, "Minimise the L1 quadratic."},
                                {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_penalised", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__penalised(void)
{
    *(void **)&gemv = function_of("scipy.linalg.cython_blas", "dgemv");
    *(void **)&syrk = function_of("scipy.linalg.cython_blas", "dsyrk");
    *(void **)&posv = function_of("scipy.linalg.cython_lapack", "dposv");
    *(void **)&gesv = function_of("scipy.linalg.cython_lapack", "dgesv");
    return PyErr_Occurred() ? NULL : PyModule_Create(&module);
}
