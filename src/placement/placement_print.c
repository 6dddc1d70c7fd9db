#include "placement/placement_print.h"

#include "base/error.h"
#include "base/format.h"

#include <inttypes.h>
#include <stdlib.h>

static const char *bytes_text(char text[24], size_t bytes)
{
    snprintf(text, 24, "%s", format_bytes((int64_t)bytes).text);
    return text;
}

static void forecast_line(const struct placement_stage *stage, const struct placement_forecast *f,
                          bool chosen, FILE *out)
{
    char residents[32], text[5][24], seconds[24] = "";
    snprintf(residents, sizeof residents, "%d of %d", f->residents, f->blocks);
    if (f->seconds > 0)
        snprintf(seconds, sizeof seconds, "%.*f", f->seconds < 10 ? 2 : 0, f->seconds);
    fprintf(out, "%s %-10s  %-14s %9s %10s %10s %10s %10s %7" PRId64 " %10s %9s  %s\n",
            chosen ? "*" : " ", placement_way_name(f->way), stage->name, residents,
            bytes_text(text[0], f->weight_bytes + f->kept_bytes),
            bytes_text(text[1], f->working_bytes), bytes_text(text[2], f->device_bytes),
            bytes_text(text[3], f->host_bytes), f->copies,
            bytes_text(text[4], (size_t)f->copied_bytes), seconds, f->fits ? "yes" : "no");
}

static void forecast_json(const struct placement_stage *stage, const struct placement_forecast *f,
                          bool chosen, bool first, FILE *out)
{
    fprintf(out,
            "%s\n {\"way\": \"%s\", \"stage\": \"%s\", \"blocks\": %d, \"residents\": %d, "
            "\"slots\": %d, \"chunking\": %d, \"weight_bytes\": %zu, \"kept_bytes\": %zu, "
            "\"working_bytes\": %zu, \"device_bytes\": %zu, \"host_bytes\": %zu, "
            "\"copies\": %" PRId64 ", \"copied_bytes\": %" PRIu64 ", \"estimated_seconds\": %.6g, "
            "\"fits\": %s, \"chosen\": %s}",
            first ? "" : ",", placement_way_name(f->way), stage->name, f->blocks, f->residents,
            f->slots, f->chunking, f->weight_bytes, f->kept_bytes, f->working_bytes,
            f->device_bytes, f->host_bytes, f->copies, f->copied_bytes, f->seconds,
            f->fits ? "true" : "false", chosen ? "true" : "false");
}

static bool all_fit(const struct placement_forecast *forecasts, int count)
{
    for (int i = 0; i < count; i++)
        if (!forecasts[i].fits) return false;
    return true;
}

int placement_print_ways(const struct placement *placement, const struct placement_stage *stages,
                         int count, bool json, FILE *out)
{
    struct placement_forecast *f = calloc((size_t)count + 1, sizeof *f);
    int code = OK;
    if (!f) return fail(ERR_SYSTEM, "out of memory");
    if (json)
        fputs("[", out);
    else
        fprintf(out, "  %-10s  %-14s %9s %10s %10s %10s %10s %7s %10s %9s  %s\n", "way", "stage",
                "resident", "weights", "working", "device", "host", "copies", "moved", "about s",
                "fits");
    for (int way = 0; way < PLACEMENT_WAYS; way++) {
        TRY_CLEANUP(placement_forecast(placement, stages, count, (enum placement_way)way, f));
        for (int i = 0; i < count; i++) {
            bool chosen = all_fit(f, count) && f[i].way == placement_way_of(placement);
            if (json)
                forecast_json(&stages[i], &f[i], chosen, way == 0 && i == 0, out);
            else
                forecast_line(&stages[i], &f[i], chosen, out);
        }
    }
    if (json) fputs("\n]", out);
cleanup:
    free(f);
    return code;
}

static void report_line(const struct placement_report *r, FILE *out)
{
    char residents[32], text[4][24];
    snprintf(residents, sizeof residents, "%d of %d", r->predicted.residents, r->predicted.blocks);
    fprintf(out,
            "%-14s %-10s %9s %10s %10s %10s %7" PRId64 " %10s  load %.1f, compute %.1f, wait %.1f "
            "ms\n",
            r->stage, placement_way_name(r->predicted.way), residents,
            bytes_text(text[0], r->predicted.device_bytes), bytes_text(text[1], r->device_bytes),
            bytes_text(text[2], r->host_bytes), r->copies,
            bytes_text(text[3], (size_t)r->copied_bytes), 1e3 * r->load_seconds,
            1e3 * r->compute_seconds, 1e3 * r->wait_seconds);
}

static void report_json(const struct placement_report *r, bool first, FILE *out)
{
    const struct placement_forecast *f = &r->predicted;
    fprintf(out,
            "%s\n {\"stage\": \"%s\", \"component\": \"%s\", \"way\": \"%s\", \"residents\": %d, "
            "\"blocks\": %d, \"slots\": %d, \"chunking\": %d, \"predicted_bytes\": %zu, "
            "\"device_bytes\": %zu, \"predicted_host_bytes\": %zu, \"host_bytes\": %zu, "
            "\"predicted_copies\": %" PRId64 ", \"copies\": %" PRId64
            ", \"predicted_copied_bytes\": %" PRIu64 ", \"copied_bytes\": %" PRIu64
            ", \"load_ms\": %.3f, \"compute_ms\": %.3f, \"wait_ms\": %.3f, \"falls\": %d, "
            "\"complete\": %s}",
            first ? "" : ",", r->stage, r->component, placement_way_name(f->way), f->residents,
            f->blocks, f->slots, f->chunking, f->device_bytes, r->device_bytes, f->host_bytes,
            r->host_bytes, f->copies, r->copies, f->copied_bytes, r->copied_bytes,
            1e3 * r->load_seconds, 1e3 * r->compute_seconds, 1e3 * r->wait_seconds, r->falls,
            r->complete ? "true" : "false");
}

void placement_print_reports(const struct placement *placement, bool json, FILE *out)
{
    if (json)
        fputs("[", out);
    else
        fprintf(out, "%-14s %-10s %9s %10s %10s %10s %7s %10s\n", "stage", "way", "resident",
                "predicted", "measured", "host", "copies", "moved");
    for (int i = 0; i < placement_report_count(placement); i++) {
        const struct placement_report *r = placement_report_at(placement, i);
        if (json)
            report_json(r, i == 0, out);
        else
            report_line(r, out);
    }
    if (json) fputs("\n]", out);
}
