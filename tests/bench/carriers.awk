# Reads carriers.results (carriers.sh writes it) and prints the tables (form=txt or md) or the plot (form=svg).
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

# ---------------------------------------------------------------- targets

# What the figures have to be. Each line has one row of the table, or one carrier, and all that is wanted of it there:
# begin_target(), then at_most() for each figure (or target_unknown, why there is none), then end_target().
function begin_target(what) {
    target_what = what
    target_figures = target_missed = target_unknown = ""
}
function join(list, more) { return list == "" ? more : list ", " more }
# A figure with its unit, and its bound. Differences of decimal fractions are not exact: a millionth is no miss.
function at_most(name, value, form_of, unit, bound) {
    target_figures = join(target_figures, (name == "" ? "" : name " ") sprintf(form_of, value) unit)
    if (value > bound + 0.000001) target_missed = join(target_missed, name == "" ? "-" : name)
}
function end_target(bounds,    result) {
    if (target_missed != "") result = "MISSED" (target_missed == "-" ? "" : ": " target_missed)
    else if (target_unknown != "") result = "not measured" (target_unknown == "-" ? "" : ": " target_unknown)
    else result = "met"
    if (result ~ /^MISSED/) targets_missed++
    if (result ~ /^not measured/) targets_unknown++
    target[++targets] = target_what "\t" bounds "\t" (target_figures == "" ? "-" : target_figures) "\t" result
}

# Why there is no figure of this cell; nothing if there is one.
function unknown(row, at) {
    if (med(row " " at " p50") != "") return ""
    if (row in missing) return missing[row]
    return (row " " at) in failed ? "failed" : "-"
}
# Cells in which nothing came have delays of 0.
function at_cell(row, at, what) {
    if (what != "out" && (row " " at) in none) return 1000
    return med(row " " at " " what)
}
function above(row, at, what) { return at_cell(row, at, what) - at_cell("udp/own", at, what) }
function star(row, at) { return (row " " at) in disturbed ? "*" : "" }

# One row at one loss beside plain UDP: bounds of p50, p95 and p99 in ms above it (none: ""), of what is out of time in
# percent, and of how many points that is away from UDP's.
function beside_udp(name, at, p50, p95, p99, out, points,    row, bounds, more) {
    row = "pair-" name "/own"
    begin_target(name ", " at " % loss")
    bounds = "above plain UDP: " (p50 == "" ? "" : "p50 " p50 ", p95 " p95 ", ") "p99 " p99 " ms at most"
    if (out != "") bounds = bounds "; out of time: " out " % at most"
    if (points != "") bounds = bounds "; out of time: " points " points from UDP's at most"
    target_unknown = unknown(row, at)
    if (target_unknown == "" && (unknown("udp/own", at) != "" || ("udp/own " at) in none)) target_unknown = "plain UDP"
    if (target_unknown == "") {
        if (p50 != "") at_most("p50", above(row, at, "p50"), "%.2f", " ms", p50)
        if (p95 != "") at_most("p95", above(row, at, "p95"), "%.2f", " ms", p95)
        at_most("p99", above(row, at, "p99"), "%.2f", " ms", p99)
        if (out != "") at_most("out of time", at_cell(row, at, "out"), "%.3f", " %", out)
        if (points != "") {
            more = above(row, at, "out")
            at_most("out of time", more < 0 ? -more : more, "%.3f", " points", points)
        }
        target_figures = (star(row, at) star("udp/own", at) == "" ? "" : "*") target_figures
    }
    end_target(bounds)
}

# The worst of the pair's rows with BBR against the best of the peers: so each of them is ahead of every peer.
function ahead(at,    i, row, list, n, k, value, worst, best, of, whose, mine, ours, others, theirs) {
    begin_target("each row of the pair with BBR, " at " % loss")
    n = split("p99 out", list, " ")
    for (i = 1; i <= rows; i++) {
        row = order[i]
        if (row ~ /^udp/) continue
        mine = row ~ /^pair-/
        if (mine && algorithm[row] != "" && algorithm[row] != "bbr") continue
        if (mine && row ~ /\/cubic$/) continue
        if (mine) ours++
        else others++
        if (unknown(row, at) != "") {
            if (mine) target_unknown = "a cell of the pair"
            continue
        }
        if (!mine) theirs++
        for (k = 1; k <= n; k++) {
            value = at_cell(row, at, list[k])
            if (mine && (!(k in worst) || value > worst[k])) { worst[k] = value; of[k] = row }
            if (!mine && (!(k in best) || value < best[k])) { best[k] = value; whose[k] = row }
        }
    }
    if (!theirs) target_unknown = "no peer"
    if (!ours) target_unknown = "no row of the pair has BBR"
    if ((1 in worst) && (1 in best)) {
        target_figures = "p99 " star(of[1], at) ms(worst[1]) " ms (" short_title(of[1]) ") against " star(whose[1], at) \
            ms(best[1]) " ms (" short_title(whose[1]) "), out of time " star(of[2], at) percent(worst[2]) " % (" \
            short_title(of[2]) ") against " star(whose[2], at) percent(best[2]) " % (" short_title(whose[2]) ")"
        if (theirs < others) target_figures = target_figures "; " theirs " of " others " rows of peers were measured"
        if (worst[1] >= best[1]) target_missed = "p99"
        if (worst[2] >= best[2]) target_missed = join(target_missed, "out of time")
    }
    end_target("p99 and out of time less than in any row of a peer")
}
function short_title(row,    short) {
    short = title[row]
    sub(/^the pair, carrier = /, "", short)
    return short (row ~ /^pair-/ ? "" : ", " toupper(algorithm[row]))
}

function make_targets(    i, n, name, list, lossy) {
    for (i = 1; i <= 2; i++) beside_udp("unordered", i, 0.5, 2, setting["rtt"] + 5, 0.01, "")
    n = split("1 2 5", list, " ")
    for (i = 1; i <= n; i++) beside_udp("raw", list[i], 1, 1, 1, "", 0.1)
    beside_udp("stream", 0, "", "", 5, "", "")
    begin_target("stream, 1 % loss")
    target_unknown = unknown("pair-stream/own", 1)
    if (target_unknown == "") {
        at_most("p99", at_cell("pair-stream/own", 1, "p99"), "%.1f", " ms", 100)
        at_most("out of time", at_cell("pair-stream/own", 1, "out"), "%.3f", " %", 0.1)
        target_figures = star("pair-stream/own", 1) target_figures
    }
    end_target("p99 100 ms, out of time 0.1 % at most")
    n = split("unordered raw", list, " ")
    for (i = 1; i <= n; i++) {
        name = list[i]
        begin_target(name ", CPU time per packet against stream")
        if (med("cpu ratio " name) == "") target_unknown = "-"
        else at_most("", med("cpu ratio " name), "%.2f", "", 1.5)
        end_target("at most 1.5")
    }
    n = split("stream unordered raw auto", list, " ")
    for (i = 1; i <= n; i++) {
        name = list[i]
        begin_target(name ", first packet after a start")
        if (med("first " name) == "") target_unknown = "-"
        else at_most("", med("first " name) / setting["rtt"], "%.2f", " RTT", 5)
        end_target("at most 5 RTT")
    }
    for (i = 1; i <= losses; i++)
        if (loss[i] > 0) { lossy = 1; ahead(loss[i]) }
    if (!lossy) {
        begin_target("each row of the pair with BBR, with loss")
        target_unknown = "-"
        end_target("p99 and out of time less than in any row of a peer")
    }
}

function print_targets(    i, k, part, head, wide) {
    make_targets()
    head = "what\ttarget\tmeasured\tresult"
    print ""
    print (form == "md" ? "### " : "== ") "Targets"
    print ""
    if (form == "md") {
        gsub(/\t/, " | ", head)
        print "| " head " |"
        print "|---|---|---|---|"
        for (i = 1; i <= targets; i++) { gsub(/\t/, " | ", target[i]); print "| " target[i] " |" }
    } else {
        # The result first: the rest is wide.
        for (i = 0; i <= targets; i++) {
            split(i ? target[i] : head, part, "\t")
            for (k = 1; k <= 4; k++) if (length(part[k]) > wide[k]) wide[k] = length(part[k])
        }
        for (i = 0; i <= targets; i++) {
            split(i ? target[i] : head, part, "\t")
            printf "%-*s  %-*s  %-*s  %s\n", wide[4], part[4], wide[1], part[1], wide[2], part[2], part[3]
        }
    }
    print ""
    print (targets_missed ? targets_missed " of " targets " MISSED" : "None missed") \
        (targets_unknown ? ", " targets_unknown " not measured." : ".")
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
        print_targets()
    } else {
        print words()
        print ""
        print_text()
        print_cpu()
        print_targets()
    }
}
