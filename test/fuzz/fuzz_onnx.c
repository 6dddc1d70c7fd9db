/* libFuzzer: any bytes as an ONNX file whose summary is read. */
#include "store/onnx.h"
#include "test/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct onnx_summary summary;
    if (onnx_read_summary(&summary, fuzz_file(data, bytes)) != 0) return 0;
    require(summary.ir > 0 && summary.graph != NULL);
    for (int i = 0; i < summary.value_count; i++)
        require(summary.values[i].dims >= 0 && summary.values[i].dims <= ONNX_MOST_DIMS);
    onnx_summary_free(&summary);
    return 0;
}
