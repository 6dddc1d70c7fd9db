#include "report/html.h"

#include "base/utf8.h"
#include "base/version.h"

#include <math.h>

/* Control characters, which HTML does not know, are left out. */
static bool html_escape(FILE *out, unsigned char byte)
{
    if (byte == '<' || byte == '>' || byte == '&' || byte == '"' || byte == '\'')
        fprintf(out, "&#%d;", byte);
    else
        return (byte < ' ' && byte != '\n' && byte != '\t') || byte == 0x7F;
    return true;
}

void html_write_text(FILE *out, const char *text)
{
    utf8_write(out, text, html_escape);
}

static const char style[] =
    ":root{color-scheme:light dark;--back:#fff;--card:#f5f6f8;--text:#1c2330;--dim:#5b6575;"
    "--line:#d5d9e0;--c0:#2166c2;--c1:#c2461d;--c2:#1f8a4c;--c3:#8a3fb5;--c4:#b07800;"
    "--c5:#0e8c93;--c6:#b8286d;--c7:#5d6b7a}\n"
    "@media(prefers-color-scheme:dark){:root{--back:#12161d;--card:#1b212b;--text:#e4e8ee;"
    "--dim:#9aa5b5;--line:#333c4a;--c0:#6aa5f0;--c1:#f08a5d;--c2:#5cc98a;--c3:#c48af0;"
    "--c4:#e3b341;--c5:#4cc5cc;--c6:#f07ab0;--c7:#a8b4c2}}\n"
    "*{box-sizing:border-box}body{margin:0 auto;max-width:1180px;padding:16px 20px 60px;"
    "background:var(--back);color:var(--text);font:15px/1.45 system-ui,sans-serif}"
    "h1{font-size:24px;margin:8px 0}h2{font-size:18px;margin:28px 0 10px}"
    "h3{font-size:14px;margin:0 0 6px;font-weight:600}a{color:var(--c0)}"
    ".dim{color:var(--dim)}.cards{display:flex;flex-wrap:wrap;gap:10px}"
    ".card{background:var(--card);border-radius:8px;padding:10px 14px;min-width:120px}"
    ".card b{display:block;font-size:20px;font-weight:600}"
    ".state{display:inline-block;border-radius:6px;padding:1px 8px;font-size:14px;"
    "vertical-align:middle;color:#fff;background:#5d6b7a}.finished{background:#1f8a4c}"
    ".failed{background:#b3261e}.running{background:#2166c2}"
    ".stopped,.interrupted{background:#8f6400}"
    ".charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,520px),1fr));"
    "gap:14px}.chart{min-width:0;background:var(--card);border-radius:8px;padding:10px 12px}"
    ".chart svg{width:100%;height:auto;display:block;overflow:visible}"
    ".grid{stroke:var(--line);stroke-width:1}.axis{fill:var(--dim);font-size:12px}"
    ".curve{fill:none;stroke-width:1.8;stroke-linejoin:round}.move{stroke:var(--dim);"
    "stroke-dasharray:4 3}.hair{stroke:var(--dim);visibility:hidden}"
    ".said{min-height:1.4em;font-size:13px;color:var(--dim)}"
    ".key{display:inline-block;width:15px;height:0;vertical-align:middle;margin:0 6px 0 12px}"
    ".run .key{margin-left:0}"
    "table{border-collapse:collapse;font-size:14px}.wide{overflow-x:auto}"
    "th,td{text-align:left;padding:4px 12px 4px 0;border-bottom:1px solid var(--line);"
    "vertical-align:top}td:nth-child(2){white-space:nowrap}td.n,th.n{text-align:right;font-variant-"
    "numeric:tabular-nums}"
    "td.best{font-weight:700}pre{overflow:auto;max-height:520px;background:var(--card);"
    "border-radius:8px;padding:10px 14px;font-size:13px}summary{cursor:pointer;margin:6px 0}"
    ".show>input[type=radio]{margin:0 4px 0 "
    "12px}.show>input:only-of-type{display:none}.shot{display:none}"
    ".show>input:nth-of-type(1):checked~.shot:nth-of-type(1),"
    ".show>input:nth-of-type(2):checked~.shot:nth-of-type(2),"
    ".show>input:nth-of-type(3):checked~.shot:nth-of-type(3){display:block}"
    ".shots{display:flex;flex-wrap:wrap;gap:10px;align-items:flex-start}"
    "figure{margin:8px 0;max-width:100%}figcaption{font-size:13px;color:var(--dim)}"
    "img{max-width:100%;height:auto;display:block;border-radius:4px}"
    ".small{image-rendering:pixelated}.pair{position:relative;max-width:100%;--x:50%;"
    "touch-action:none;cursor:ew-resize;margin-top:6px;overflow:hidden;border-radius:4px}"
    ".pair div{position:absolute;inset:0;background-repeat:no-repeat}"
    ".pair .over{clip-path:inset(0 calc(100% - var(--x)) 0 0)}"
    ".pair .bar{left:var(--x);width:2px;right:auto;background:#fff;box-shadow:0 0 3px #000}"
    ".scripted{display:none}.live .scripted{display:block}.live .still{display:none}"
    ".slide input{width:100%;max-width:100%}";

/* A slider is made of the images that are there already, so that none is in the file twice; without
 * scripts they stand side by side. */
static const char script[] =
    "document.body.classList.add('live');\n"
    "document.querySelectorAll('.slide').forEach(function(box){\n"
    "  var pair=box.querySelector('.pair'),range=box.querySelector('input'),\n"
    "      shot=document.getElementById(box.dataset.shot),n=+box.dataset.columns||1,\n"
    "      "
    "other=document.getElementById(box.dataset.target),picks=box.querySelectorAll('select');\n"
    "  function lay(layer,image,column){\n"
    "    layer.style.backgroundImage='url(\"'+image.src+'\")';\n"
    "    layer.style.backgroundSize=n*100+'% 100%';\n"
    "    layer.style.backgroundPosition=(n>1?column/(n-1)*100:0)+'% 0';\n"
    "  }\n"
    "  function show(){\n"
    "    lay(pair.querySelector('.under'),shot,picks.length?+picks[1].value:0);\n"
    "    lay(pair.querySelector('.over'),other||shot,picks.length?+picks[0].value:0);\n"
    "  }\n"
    "  function move(x){pair.style.setProperty('--x',x+'%');range.value=x;}\n"
    "  range.addEventListener('input',function(){move(+range.value);});\n"
    "  pair.addEventListener('pointermove',function(e){\n"
    "    var r=pair.getBoundingClientRect();\n"
    "    move(Math.max(0,Math.min(100,(e.clientX-r.left)/r.width*100)));\n"
    "  });\n"
    "  picks.forEach(function(p){p.addEventListener('change',show);});\n"
    "  show();\n"
    "});\n"
    "document.querySelectorAll('.chart').forEach(function(chart){\n"
    "  var svg=chart.querySelector('svg'),hair=chart.querySelector('.hair'),\n"
    "      said=chart.querySelector('.said');\n"
    "  if(!svg||!hair)return;\n"
    "  svg.addEventListener('pointermove',function(e){\n"
    "    var "
    "r=svg.getBoundingClientRect(),at=(e.clientX-r.left)/r.width*svg.viewBox.baseVal.width,\n"
    "        text=[],where=null;\n"
    "    chart.querySelectorAll('.curve').forEach(function(c){\n"
    "      var best=null,points=c.dataset.says.split(' ').map(function(p){return p.split(',');});\n"
    "      points.forEach(function(p){if(!best||Math.abs(p[0]-at)<Math.abs(best[0]-at))best=p;});\n"
    "      if(!best)return;\n"
    "      if(where===null||Math.abs(best[0]-at)<Math.abs(where-at))where=best[0];\n"
    "      text.push((c.dataset.name?c.dataset.name+' ':'')+best[2]+' at '+best[1]);\n"
    "    });\n"
    "    if(where===null)return;\n"
    "    hair.setAttribute('x1',where);hair.setAttribute('x2',where);\n"
    "    hair.style.visibility='visible';said.textContent=text.join(' \\u00b7 ');\n"
    "  });\n"
    "});\n";

void html_begin(FILE *out, const char *title)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
          "img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
          "<meta name=\"generator\" content=\"imgtrain " IMGTRAIN_VERSION "\">\n<title>",
          out);
    html_write_text(out, title);
    fprintf(out, "</title>\n<style>\n%s\n</style>\n</head>\n<body>\n", style);
}

void html_end(FILE *out)
{
    fprintf(out, "<script>\n%s</script>\n</body>\n</html>\n", script);
}

void html_begin_facts(FILE *out)
{
    fputs("<div class=\"wide\"><table>\n", out);
}

void html_add_fact(FILE *out, const char *label, const char *text)
{
    if (!text || !*text) return;
    fputs("<tr><td class=\"dim\">", out);
    html_write_text(out, label);
    fputs("</td><td>", out);
    html_write_text(out, text);
    fputs("</td></tr>\n", out);
}

void html_end_facts(FILE *out)
{
    fputs("</table></div>\n", out);
}

struct html_number html_number(double value)
{
    struct html_number number = {""};
    if (isnan(value)) return number;
    if (fabs(value) < 1e15 && floor(value) == value)
        snprintf(number.text, sizeof number.text, "%.0f", value);
    else
        snprintf(number.text, sizeof number.text, "%.*g", fabs(value) >= 1e4 ? 6 : 5, value);
    return number;
}

struct html_number html_duration(double seconds)
{
    struct html_number number = {""};
    if (!(seconds >= 0 && seconds < 1e10)) return number;
    if (seconds < 100) {
        snprintf(number.text, sizeof number.text, seconds < 10 ? "%.1f s" : "%.0f s", seconds);
        return number;
    }
    long whole = (long)(seconds + 0.5);
    if (whole < 3600)
        snprintf(number.text, sizeof number.text, "%ld min %ld s", whole / 60, whole % 60);
    else
        snprintf(number.text, sizeof number.text, "%ld h %ld min", whole / 3600, whole % 3600 / 60);
    return number;
}
