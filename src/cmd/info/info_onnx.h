/* What `imgtrain info` says of an ONNX file. */
#ifndef IMGTRAIN_CMD_INFO_ONNX_H
#define IMGTRAIN_CMD_INFO_ONNX_H

#include <stdbool.h>

/* Its inputs, outputs, metadata and the text that goes with it, or (json) one object. ERR_INPUT,
 * ERR_DATA. */
int info_print_onnx(const char *path, bool json);

#endif
