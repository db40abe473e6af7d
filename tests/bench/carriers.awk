# Reads carriers.results (carriers.sh writes it) and prints the table (form=txt or md) or the plot (form=svg).
# Every figure is the median of the rounds.

function keep(key, round, value) {
    values[key, round] = value
    if (round + 0 > top[key] + 0) top[key] = round + 0
}

$1 == "machine" { sub(/^machine /, ""); machine = $0 }
$1 == "date" { date = $2 }
$1 == "settings" {
    for (i = 2; i <= NF; i++) { split($i, part, "="); setting[part[1]] = part[2] }
}
$1 == "losses" { for (i = 2; i <= NF; i++) loss[++losses] = $i }
$1 == "row" { name = $2; sub(/^row [^ ]+ /, ""); title[name] = $0; order[++rows] = name }
$1 == "missing" { name = $2; sub(/^missing [^ ]+ /, ""); missing[name] = $0 }
$1 == "failed" { failed[$2 "/" $3 " " $4] = 1 }
$1 == "cell" {
    delete v
    one_way = 1
    for (i = 7; i <= NF; i++) {
        split($i, part, "=")
        v[part[1]] = part[2]
        if ($i == "direction=back") one_way = 0
    }
    row = $2 "/" $3
    algorithm[row] = $4 == "-" ? "" : $4
    single[row] = one_way
    key = row " " $5
    if (v["late"] > setting["late_max"]) { disturbed[key] = 1; any_disturbed = 1 }
    if (v["all_p99"] == 0) none[key] = 1
    keep(key " p50", $6, v["all_p50"] / 1000)
    keep(key " p95", $6, v["all_p95"] / 1000)
    keep(key " p99", $6, v["all_p99"] / 1000)
    keep(key " out", $6, 100 * (1 - v["all_in_time"] / v["all_sent"]))
}

$1 == "cpu" {
    delete v
    for (i = 4; i <= NF; i++) { split($i, part, "="); v[part[1]] = part[2] }
    if (!(("cpu " $2) in top)) carrier[++carriers] = $2
    keep("cpu " $2, $3, v["cpu_dmz"] + v["cpu_inner"])
    keep("cpu rate " $2, $3, v["came_rate"])
    if (("cpu stream", $3) in values && values["cpu stream", $3] > 0)
        keep("cpu ratio " $2, $3, values["cpu " $2, $3] / values["cpu stream", $3])
}

$1 == "first" { keep("first " $2, $3, $4 / 1000) }

# ---------------------------------------------------------------- figures

function sort(list, count,    i, j, swap) {
    for (i = 2; i <= count; i++)
        for (j = i; j > 1 && list[j] < list[j - 1]; j--) {
            swap = list[j]; list[j] = list[j - 1]; list[j - 1] = swap
        }
}
function med(key,    list, count, round) {
    count = 0
    for (round = 1; round <= top[key]; round++)
        if ((key, round) in values) list[++count] = values[key, round] + 0
    if (count == 0) return ""
    sort(list, count)
    return count % 2 ? list[(count + 1) / 2] : (list[count / 2] + list[count / 2 + 1]) / 2
}

# The longest that relaybench tells apart is a second.
function ms(value) { return value >= 999 ? "1000+" : sprintf(value < 100 ? "%.1f" : "%.0f", value) }
function percent(value) { return sprintf(value > 0 && value < 0.995 ? "%.2f" : "%.1f", value) }

function cell(row, at,    key) {
    key = row " " at
    if (med(key " p50") == "") return (key in failed) ? "failed" : "-"
    if (key in none) return "none in time"
    return ((key in disturbed) ? "*" : "") ms(med(key " p50")) " / " ms(med(key " p95")) " / " ms(med(key " p99")) ", " percent(med(key " out")) " %"
}
function full_title(row) {
    return title[row] (algorithm[row] == "" ? "" : ", " toupper(algorithm[row])) (single[row] ? " (one way)" : "")
}

function print_table(    i, j, row, line, rule) {
    line = "| one-way ms p50 / p95 / p99, out of time |"
    rule = "|---|"
    for (j = 1; j <= losses; j++) { line = line " " loss[j] " % loss |"; rule = rule "---|" }
    print line
    print rule
    for (i = 1; i <= rows; i++) {
        row = order[i]
        line = "| " full_title(row) " |"
        for (j = 1; j <= losses; j++)
            line = line " " (row in missing ? (j == 1 ? missing[row] : "") : cell(row, loss[j])) " |"
        print line
    }
}

# The same in columns.
function print_text(    i, j, row, wide) {
    wide = 44
    printf "%-*s", wide, "one-way ms p50 / p95 / p99, out of time"
    for (j = 1; j <= losses; j++) printf "  %-29s", loss[j] " % loss"
    printf "\n"
    for (i = 1; i <= rows; i++) {
        row = order[i]
        printf "%-*s", wide, full_title(row)
        if (row in missing) printf "  %s", missing[row]
        else for (j = 1; j <= losses; j++) printf "  %-29s", cell(row, loss[j])
        printf "\n"
    }
}

# CPU time of both daemons, which has nothing to do with loss.
function print_cpu(    i, name) {
    if (carriers == 0) return
    print ""
    print "| carrier of the pair | CPU time per packet, both daemons, " sprintf("%.0f", med("cpu rate " carrier[1])) " packets/s | against stream | first packet after a start |"
    print "|---|---|---|---|"
    for (i = 1; i <= carriers; i++) {
        name = carrier[i]
        printf "| %s | %.2f us | %s | %s |\n", name, med("cpu " name), \
            med("cpu ratio " name) == "" ? "-" : sprintf("%.2f", med("cpu ratio " name)), \
            med("first " name) == "" ? "-" : sprintf("%.0f ms, %.1f RTT", med("first " name), med("first " name) / setting["rtt"])
    }
}

function words() {
    return setting["streams"] " calls of 50 packets/s each way, RTT " setting["rtt"] " ms, " setting["seconds"] \
        " s a cell, " (setting["rounds"] == 1 ? "one round" : "median of " setting["rounds"] " rounds") \
        (setting["awake"] == "yes" ? "; no processor may halt" : "") \
        (any_disturbed ? "; *: the machine kept generator or link waiting for more than " setting["late_max"] " ms" : "") \
        (setting["smoke"] == "yes" ? "; a smoke test: these figures are worth nothing" : "")
}

# ---------------------------------------------------------------- the plot

# Two panels, both logarithmic: p99, and what did not come within 100 ms.
function x_of(j) { return left + (losses > 1 ? (j - 1) * (right - left) / (losses - 1) : 0) }
function y_of(value, low, high,    share) {
    if (value < low) value = low
    if (value > high) value = high
    share = log(value / low) / log(high / low)
    return bottom - share * (bottom - head)
}
function text(x, y, anchor, what) {
    gsub(/&/, "\\&amp;", what); gsub(/</, "\\&lt;", what)
    printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, what
}
function line_of(a, b, c, d, color) {
    printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", a, b, c, d, color
}
function panel(name, what, low, high, ticks, unit,    i, j, list, count, row, value, points, y) {
    text((left + right) / 2, head - 14, "middle", name)
    count = split(ticks, list, " ")
    for (i = 1; i <= count; i++) {
        y = y_of(list[i], low, high)
        line_of(left, y, right, y, "#ddd")
        text(left - 6, y + 4, "end", list[i] unit)
    }
    for (j = 1; j <= losses; j++) text(x_of(j), bottom + 18, "middle", loss[j] " %")
    text((left + right) / 2, bottom + 36, "middle", "loss each way")
    for (i = 1; i <= rows; i++) {
        row = order[i]
        points = ""
        for (j = 1; j <= losses; j++) {
            value = med(row " " loss[j] " " what)
            if (value == "" || (what == "p99" && (row " " loss[j]) in none)) continue
            points = points sprintf("%.1f,%.1f ", x_of(j), y_of(value, low, high))
            printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", x_of(j), y_of(value, low, high), color[i]
        }
        printf "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"%s/>\n", points, color[i], \
            row ~ /^(udp|pair)/ ? "" : " stroke-dasharray=\"5 3\""
    }
}
function print_plot(    i, count, palette, y) {
    count = split("#000000 #d62728 #ff9896 #1f77b4 #9467bd #2ca02c #bcbd22 #8c564b #e377c2 #17becf #7f7f7f #ff7f0e", palette, " ")
    for (i = 1; i <= rows; i++) color[i] = palette[(i - 1) % count + 1]
    y = 420 + 18 * rows
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"960\" height=\"%d\" font-family=\"sans-serif\" font-size=\"13\">\n", y
    print "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    head = 40; bottom = 340
    left = 70; right = 440
    panel("one-way delay, p99", "p99", 10, 1000, "10 20 50 100 200 500 1000", " ms")
    left = 560; right = 930
    panel("not there within 100 ms", "out", 0.01, 100, "0.01 0.1 1 10 100", " %")
    for (i = 1; i <= rows; i++) {
        line_of(70, 392 + 18 * i, 100, 392 + 18 * i, color[i])
        text(110, 396 + 18 * i, "start", full_title(order[i]) (order[i] in missing ? ": " missing[order[i]] : ""))
    }
    print "</svg>"
}

END {
    if (form == "svg") {
        print_plot()
    } else if (form == "md") {
        print "Measured on " date " (" machine "): " words() "."
        print ""
        print_table()
        print_cpu()
    } else {
        print words()
        print ""
        print_text()
        print_cpu()
    }
}
