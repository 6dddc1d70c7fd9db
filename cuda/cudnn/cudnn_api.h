/* The part of cuDNN's backend (graph) API that is used here, without cuDNN's headers: the library
 * is opened at run time, so a build needs nothing and a machine without it still starts.
 *
 * The numbers and signatures are facts of NVIDIA's public documentation ("cuDNN Backend API",
 * docs.nvidia.com/deeplearning/cudnn) for cuDNN 9, written anew. test/cuda/cuda_cudnn.c compares
 * each with cudnn.h where a machine has one. */
#ifndef IMGTRAIN_CUDA_CUDNN_CUDNN_API_H
#define IMGTRAIN_CUDA_CUDNN_CUDNN_API_H

#include <stddef.h>
#include <stdint.h>

/* X(NAME, VALUE): CUDNN_NAME of cudnn.h, DNN_NAME here. */
#define CUDNN_CONSTANTS(X)                                                                         \
    X(STATUS_SUCCESS, 0)                                                                           \
    X(STATUS_BAD_PARAM, 2000)                                                                      \
    X(STATUS_NOT_SUPPORTED, 3000)                                                                  \
    X(STATUS_INTERNAL_ERROR, 4000)                                                                 \
    X(STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED, 4004)                                        \
    X(STATUS_EXECUTION_FAILED, 5000)                                                               \
    /* descriptors */                                                                              \
    X(BACKEND_POINTWISE_DESCRIPTOR, 0)                                                             \
    X(BACKEND_CONVOLUTION_DESCRIPTOR, 1)                                                           \
    X(BACKEND_ENGINE_DESCRIPTOR, 2)                                                                \
    X(BACKEND_ENGINECFG_DESCRIPTOR, 3)                                                             \
    X(BACKEND_ENGINEHEUR_DESCRIPTOR, 4)                                                            \
    X(BACKEND_EXECUTION_PLAN_DESCRIPTOR, 5)                                                        \
    X(BACKEND_KNOB_CHOICE_DESCRIPTOR, 7)                                                           \
    X(BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, 10)                                        \
    X(BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, 11)                                \
    X(BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, 12)                                  \
    X(BACKEND_OPERATION_POINTWISE_DESCRIPTOR, 13)                                                  \
    X(BACKEND_OPERATIONGRAPH_DESCRIPTOR, 15)                                                       \
    X(BACKEND_VARIANT_PACK_DESCRIPTOR, 16)                                                         \
    X(BACKEND_TENSOR_DESCRIPTOR, 17)                                                               \
    X(BACKEND_DEVICEPROP_DESCRIPTOR, 38)                                                           \
    /* their attributes */                                                                         \
    X(ATTR_POINTWISE_MODE, 0)                                                                      \
    X(ATTR_POINTWISE_MATH_PREC, 1)                                                                 \
    X(ATTR_POINTWISE_RELU_LOWER_CLIP, 3)                                                           \
    X(ATTR_POINTWISE_RELU_UPPER_CLIP, 4)                                                           \
    X(ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, 5)                                                     \
    X(ATTR_CONVOLUTION_COMP_TYPE, 100)                                                             \
    X(ATTR_CONVOLUTION_CONV_MODE, 101)                                                             \
    X(ATTR_CONVOLUTION_DILATIONS, 102)                                                             \
    X(ATTR_CONVOLUTION_FILTER_STRIDES, 103)                                                        \
    X(ATTR_CONVOLUTION_POST_PADDINGS, 104)                                                         \
    X(ATTR_CONVOLUTION_PRE_PADDINGS, 105)                                                          \
    X(ATTR_CONVOLUTION_SPATIAL_DIMS, 106)                                                          \
    X(ATTR_ENGINEHEUR_MODE, 200)                                                                   \
    X(ATTR_ENGINEHEUR_OPERATION_GRAPH, 201)                                                        \
    X(ATTR_ENGINEHEUR_RESULTS, 202)                                                                \
    X(ATTR_ENGINEHEUR_DEVICEPROP, 204)                                                             \
    X(ATTR_ENGINECFG_ENGINE, 300)                                                                  \
    X(ATTR_ENGINECFG_KNOB_CHOICES, 302)                                                            \
    X(ATTR_EXECUTION_PLAN_HANDLE, 400)                                                             \
    X(ATTR_EXECUTION_PLAN_ENGINE_CONFIG, 401)                                                      \
    X(ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, 402)                                                     \
    X(ATTR_EXECUTION_PLAN_DEVICEPROP, 407)                                                         \
    X(ATTR_KNOB_CHOICE_KNOB_TYPE, 600)                                                             \
    X(ATTR_KNOB_CHOICE_KNOB_VALUE, 601)                                                            \
    X(ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, 700)                                               \
    X(ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, 701)                                                \
    X(ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, 702)                                           \
    X(ATTR_OPERATION_CONVOLUTION_FORWARD_W, 703)                                                   \
    X(ATTR_OPERATION_CONVOLUTION_FORWARD_X, 704)                                                   \
    X(ATTR_OPERATION_CONVOLUTION_FORWARD_Y, 705)                                                   \
    X(ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, 706)                                              \
    X(ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, 707)                                               \
    X(ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, 708)                                          \
    X(ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, 709)                                                  \
    X(ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, 710)                                                 \
    X(ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, 711)                                                 \
    X(ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, 712)                                            \
    X(ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA, 713)                                             \
    X(ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, 714)                                        \
    X(ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, 715)                                               \
    X(ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, 716)                                                \
    X(ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, 717)                                               \
    X(ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, 750)                                                 \
    X(ATTR_OPERATION_POINTWISE_XDESC, 751)                                                         \
    X(ATTR_OPERATION_POINTWISE_BDESC, 752)                                                         \
    X(ATTR_OPERATION_POINTWISE_YDESC, 753)                                                         \
    X(ATTR_OPERATIONGRAPH_HANDLE, 800)                                                             \
    X(ATTR_OPERATIONGRAPH_OPS, 801)                                                                \
    X(ATTR_TENSOR_BYTE_ALIGNMENT, 900)                                                             \
    X(ATTR_TENSOR_DATA_TYPE, 901)                                                                  \
    X(ATTR_TENSOR_DIMENSIONS, 902)                                                                 \
    X(ATTR_TENSOR_STRIDES, 903)                                                                    \
    X(ATTR_TENSOR_UNIQUE_ID, 906)                                                                  \
    X(ATTR_TENSOR_IS_VIRTUAL, 907)                                                                 \
    X(ATTR_VARIANT_PACK_UNIQUE_IDS, 1000)                                                          \
    X(ATTR_VARIANT_PACK_DATA_POINTERS, 1001)                                                       \
    X(ATTR_VARIANT_PACK_WORKSPACE, 1003)                                                           \
    X(ATTR_ENGINE_OPERATION_GRAPH, 1300)                                                           \
    X(ATTR_ENGINE_GLOBAL_INDEX, 1301)                                                              \
    X(ATTR_ENGINE_NUMERICAL_NOTE, 1303)                                                            \
    X(ATTR_ENGINE_DEVICEPROP, 1307)                                                                \
    X(ATTR_DEVICEPROP_JSON_REPRESENTATION, 2702)                                                   \
    /* types of attributes */                                                                      \
    X(TYPE_HANDLE, 0)                                                                              \
    X(TYPE_DATA_TYPE, 1)                                                                           \
    X(TYPE_BOOLEAN, 2)                                                                             \
    X(TYPE_INT64, 3)                                                                               \
    X(TYPE_FLOAT, 4)                                                                               \
    X(TYPE_DOUBLE, 5)                                                                              \
    X(TYPE_VOID_PTR, 6)                                                                            \
    X(TYPE_CONVOLUTION_MODE, 7)                                                                    \
    X(TYPE_HEUR_MODE, 8)                                                                           \
    X(TYPE_KNOB_TYPE, 9)                                                                           \
    X(TYPE_NUMERICAL_NOTE, 11)                                                                     \
    X(TYPE_POINTWISE_MODE, 14)                                                                     \
    X(TYPE_BACKEND_DESCRIPTOR, 15)                                                                 \
    X(TYPE_CHAR, 24)                                                                               \
    /* values */                                                                                   \
    X(DATA_FLOAT, 0)                                                                               \
    X(DATA_BFLOAT16, 9)                                                                            \
    X(CROSS_CORRELATION, 1)                                                                        \
    X(POINTWISE_ADD, 0)                                                                            \
    X(POINTWISE_RELU_FWD, 100)                                                                     \
    X(HEUR_MODE_INSTANT, 0)                                                                        \
    X(HEUR_MODE_FALLBACK, 2)                                                                       \
    X(HEUR_MODE_A, 3)                                                                              \
    X(NUMERICAL_NOTE_TENSOR_CORE, 0)                                                               \
    X(NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, 1)                                                       \
    X(NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION, 2)                                               \
    X(NUMERICAL_NOTE_FFT, 3)                                                                       \
    X(NUMERICAL_NOTE_NONDETERMINISTIC, 4)                                                          \
    X(NUMERICAL_NOTE_WINOGRAD, 5)                                                                  \
    X(NUMERICAL_NOTE_WINOGRAD_TILE_4x4, 6)                                                         \
    X(NUMERICAL_NOTE_WINOGRAD_TILE_6x6, 7)                                                         \
    X(NUMERICAL_NOTE_WINOGRAD_TILE_13x13, 8)

#define CUDNN_ENUM(name, value) DNN_##name = (value),
enum cudnn_constant { CUDNN_CONSTANTS(CUDNN_ENUM) };
#undef CUDNN_ENUM

/* cuDNN's enums are passed as int, descriptors and handles are pointers. */
typedef void *dnn_descriptor;
typedef void *dnn_handle;

/* X(RESULT, NAME, ARGUMENTS): the functions, as a table. */
#define CUDNN_FUNCTIONS(X)                                                                         \
    X(size_t, cudnnGetVersion, (void))                                                             \
    X(const char *, cudnnGetErrorString, (int status))                                             \
    X(void, cudnnGetLastErrorString, (char *text, size_t room))                                    \
    X(int, cudnnCreate, (dnn_handle * handle))                                                     \
    X(int, cudnnDestroy, (dnn_handle handle))                                                      \
    X(int, cudnnSetStream, (dnn_handle handle, void *stream))                                      \
    X(int, cudnnBackendCreateDescriptor, (int type, dnn_descriptor *descriptor))                   \
    X(int, cudnnBackendDestroyDescriptor, (dnn_descriptor descriptor))                             \
    X(int, cudnnBackendFinalize, (dnn_descriptor descriptor))                                      \
    X(int, cudnnBackendSetAttribute,                                                               \
      (dnn_descriptor descriptor, int attribute, int type, int64_t count, const void *values))     \
    X(int, cudnnBackendGetAttribute,                                                               \
      (dnn_descriptor descriptor, int attribute, int type, int64_t room, int64_t *count,           \
       void *values))                                                                              \
    X(int, cudnnBackendExecute, (dnn_handle handle, dnn_descriptor plan, dnn_descriptor pack))

#define CUDNN_MEMBER(result, name, arguments) result(*name) arguments;
struct cudnn_api {
    void *library;
    char path[512]; /* what was opened */
    CUDNN_FUNCTIONS(CUDNN_MEMBER)
};
#undef CUDNN_MEMBER

/* Opens libcudnn.so.9, or the file that the environment's IMGTRAIN_CUDNN names. ERR_DEVICE with the
 * reason: not there, no cuDNN 9, a function missing. */
int cudnn_api_open(struct cudnn_api *api);
void cudnn_api_close(struct cudnn_api *api);

/* OK, or an error with cuDNN's own words: ERR_DEVICE_MEMORY for memory, ERR_DEVICE else. */
int cudnn_result(const struct cudnn_api *api, int status, const char *what);

#endif
