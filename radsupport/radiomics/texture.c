/* The five texture matrices of a discretised region in one pass over its box.
 *
 * Definitions are pyradiomics' (v3.0.1, distance 1); tests compare every matrix with pyradiomics' own C functions.
 * The levels come padded with one layer of zeros (no voxel of the region), so that no neighbour lies outside. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>

typedef struct {
    const int32_t *level;   /* of each voxel of the padded box: 0 outside, 1 .. n_levels */
    const int32_t *value;   /* grey level of each level, value[0] = 0 */
    const int32_t *step;    /* to the neighbour of each angle, in voxels of the padded box */
    double *glcm;           /* (level, level, angle) */
    double *glrlm;          /* (level, run, angle) */
    double *gldm;           /* (level, dependence) */
    double *ngtdm;          /* (level, 2): voxels, sum of differences */
    int32_t *zone;          /* of each voxel: 0, or at one voxel of each zone its size */
    Py_ssize_t n, n_levels, n_runs, n_angles, alpha;
} Region;

static int32_t root_of(int32_t *parent, int32_t v)
{
    while (parent[v] != v) v = parent[v] = parent[parent[v]];
    return v;
}

/* Count a voxel with its neighbours; join it to the zones of those before it. */
static void count_voxel(const Region *r, Py_ssize_t v, int32_t *parent)
{
    const Py_ssize_t angles = r->n_angles, depth = 2 * angles + 1;
    const int32_t *level = r->level, *value = r->value;
    const int32_t g = level[v], own = value[g];
    int64_t sum = 0;
    int count = 0, dependent = 0;
    int32_t root = (int32_t)v;

    parent[v] = root;
    for (Py_ssize_t a = 0; a < angles; a++) {
        const Py_ssize_t step = r->step[a], forward = step < 0 ? -step : step;
        const int32_t before = level[v - forward], after = level[v + forward];
        if (after) {
            const int32_t first = step < 0 ? after : g, second = step < 0 ? g : after;
            r->glcm[((first - 1) * r->n_levels + second - 1) * angles + a]++;
            dependent += labs((long)own - value[after]) <= r->alpha;
            count++;
        }
        if (before) {
            dependent += labs((long)own - value[before]) <= r->alpha;
            count++;
        }
        sum += (int64_t)value[before] + value[after];
        if (before == g) {
            if (parent[v - forward] != root) {
                const int32_t other = root_of(parent, (int32_t)(v - forward));
                if (other < root) { parent[root] = other; root = other; }
                else parent[other] = root;
            }
        } else {
            Py_ssize_t run = 0, at = v;
            while (level[at += forward] == g) run++;
            r->glrlm[((g - 1) * r->n_runs + run) * angles + a]++;
        }
    }
    r->gldm[(g - 1) * depth + dependent]++;
    r->ngtdm[(g - 1) * 2]++;
    if (count) r->ngtdm[(g - 1) * 2 + 1] += fabs(own - (double)sum / count);
}

/* fill(level, value, step, glcm, glrlm, gldm, ngtdm, zone, parent, alpha): contiguous buffers, int32 and double. */
static PyObject *fill(PyObject *self, PyObject *args)
{
    Py_buffer b[9];
    Py_ssize_t alpha;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*y*w*w*w*w*w*w*n", b, b + 1, b + 2, b + 3, b + 4, b + 5, b + 6, b + 7, b + 8, &alpha))
        return NULL;
    const Py_ssize_t n = b[0].len / 4, levels = b[1].len / 4 - 1, angles = b[2].len / 4;
    Region r = {b[0].buf, b[1].buf, b[2].buf, b[3].buf, b[4].buf, b[5].buf, b[6].buf, b[7].buf,
                n, levels, levels && angles ? b[4].len / 8 / (levels * angles) : 0, angles, alpha};
    int32_t *parent = b[8].buf;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t v = 0; v < n; v++)
        if (r.level[v]) count_voxel(&r, v, parent);
    for (Py_ssize_t v = 0; v < n; v++)
        if (r.level[v]) r.zone[root_of(parent, (int32_t)v)]++;
    Py_END_ALLOW_THREADS
    for (int i = 0; i < 9; i++) PyBuffer_Release(b + i);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"fill", fill, METH_VARARGS, "Fill the matrices."}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_texture", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__texture(void)
{
    return PyModule_Create(&module);
}
