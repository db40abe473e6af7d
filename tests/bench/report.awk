# Reads bench.results (run.sh writes it) and prints the tables (form=txt or md) or the plot (form=svg).
# Every figure is the median of the rounds; every ratio the median of each round's ratio.

# ---------------------------------------------------------------- reading

function keep(key, round, value) {
    values[key, round] = value
    if (round + 0 > top[key] + 0) top[key] = round + 0
}

# CPU time of all processes of a system but the generator's.
$1 == "run" {
    cpu = 0
    delete v
    for (i = 5; i <= NF; i++) {
        split($i, part, "=")
        v[part[1]] = part[2]
        if (part[1] ~ /^cpu_/ && part[1] != "cpu_bench") {
            cpu += part[2]
            keep($2 " " $3 " " part[1], $4, part[2])
        }
    }
    keep($2 " " $3 " cpu", $4, cpu)
    # Both directions, where there are two.
    if ($3 == "both-ways") next
    keep($2 " " $3 " p50", $4, v["p50"])
    keep($2 " " $3 " p99", $4, v["p99"])
    keep($2 " " $3 " p999", $4, v["p999"])
    keep($2 " " $3 " loss", $4, v["loss"])
    keep($2 " " $3 " rate", $4, v["came_rate"])
    keep($2 " " $3 " duplicates", $4, v["duplicates"])
    if ($3 == "forged") for (i in v) forged[i] = v[i]
}
$1 == "floor" { keep("floor " $3, $2, $4) }
$1 == "records" {
    # Octets of TCP, less those of the frames, are 22 for each record.
    records = (($7 - $5) - ($8 - $6)) / 22
    if (records > 0) keep("records " $2, $3, $4 / records)
}
# The first time: later the memory is there already.
$1 == "memory" && !sas { sas = $2; memory["dmz"] = ($5 - $3) * 1024 / $2; memory["inner"] = ($6 - $4) * 1024 / $2 }
$1 == "forged" { auth_fail = $4 - $2; replay = $5 - $3; forged_there = 1 }
$1 == "limit" { limit[$2] = $3 }
$1 == "peer" { name = $2; sub(/^peer [^ ]+ /, ""); title[name] = $0; order[++peers] = name }
$1 == "missing" { name = $2; sub(/^missing [^ ]+ /, ""); missing[name] = $0 }
$1 == "reason" { name = $2; sub(/^reason [^ ]+ /, ""); reason[name] = $0 }
$1 == "failed" { name = $2; failed[$2 " " $3] = 1 }
$1 == "machine" { sub(/^machine /, ""); machine = $0 }
$1 == "date" { date = $2 }
$1 == "settings" {
    smoke = /smoke=yes/
    for (i = 2; i <= NF; i++) { split($i, part, "="); setting[part[1]] = part[2] }
    sub(/^settings /, "")
    settings = $0
}
$1 == "burst" {
    keep("burst " $2, $3, $4)
    if ($2 == 2 && $6 > 0) keep("contended", $3, $5 / $6)
}

# ---------------------------------------------------------------- figures

function sort(list, count,    i, j, swap) {
    for (i = 2; i <= count; i++)
        for (j = i; j > 1 && list[j] < list[j - 1]; j--) {
            swap = list[j]; list[j] = list[j - 1]; list[j - 1] = swap
        }
}

function middle(list, count) {
    if (count == 0) return ""
    sort(list, count)
    return count % 2 ? list[(count + 1) / 2] : (list[count / 2] + list[count / 2 + 1]) / 2
}

# The median; "" if there is none.
function med(key,    list, count, round) {
    count = 0
    for (round = 1; round <= top[key]; round++)
        if ((key, round) in values) list[++count] = values[key, round] + 0
    return middle(list, count)
}

# The median of the rounds' ratios; less: what is taken off both first.
function ratio(a, b, less,    list, count, round, off, under) {
    count = 0
    for (round = 1; round <= top[a]; round++)
        if ((a, round) in values && (b, round) in values) {
            off = less == "" ? 0 : values[less, round]
            under = values[b, round] - off
            if (under > 0) list[++count] = (values[a, round] - off) / under
        }
    return middle(list, count)
}

# What a record of n packets costs for each: between the two sizes that were measured, straight over 1/n.
function tls(way, n,    i, a, b, count, size) {
    count = split("1 2 4 8 16 32", size, " ")
    if (n <= 1) return med("floor " way "-1")
    for (i = 2; i <= count; i++)
        if (n <= size[i]) {
            a = med("floor " way "-" size[i - 1]); b = med("floor " way "-" size[i])
            return b + (a - b) * (1 / n - 1 / size[i]) / (1 / size[i - 1] - 1 / size[i])
        }
    return med("floor " way "-" size[count])
}

function compute_floor(what, verify_dmz, verify_inner,    n) {
    n = med("records " what)
    if (n == "") { n = 16; assumed = 1 }
    per_record[what] = n
    floor_dmz[what] = (med("floor receive") + med("floor lookup-400") + med("floor " verify_dmz) + tls("write", n)) / 1000
    floor_inner[what] = (tls("read", n) + med("floor lookup-400") + med("floor " verify_inner) + med("floor send")) / 1000
    floor_pair[what] = floor_dmz[what] + floor_inner[what]
}

# ---------------------------------------------------------------- rows of a table

function us(value) { return value == "" ? "-" : sprintf("%.2f us", value) }
function per_second(value) { return value == "" ? "-" : sprintf("%.0f/s", value) }
function two(value) { return value == "" ? "-" : sprintf("%.2f", value) }
function whole(value) { return value == "" ? "-" : sprintf("%.0f", value) }

# A target: what, our figure, the other one, their ratio, the bound ("<= 0.40").
function row(what, ours, other, figure, bound, why,    result, part, good) {
    split(bound, part, " ")
    if (figure == "") {
        result = "not measured" (why == "" ? "" : ": " why)
        figure = "-"
    } else {
        good = part[1] == "<=" ? figure <= part[2] + 0 : figure >= part[2] + 0
        result = good ? "met" : "MISSED"
        figure = sprintf("%.2f", figure)
    }
    target[++targets] = what "\t" ours "\t" other "\t" figure "\t" (part[1] == "<=" ? "at most " : "at least ") part[2] "\t" result
}

# The same for what is right or wrong.
function fact(what, ours, other, known, good, bound, why) {
    target[++targets] = what "\t" ours "\t" other "\t-\t" bound "\t" \
        (!known ? "not measured" (why == "" ? "" : ": " why) : good ? "met" : "MISSED")
}

function against(what, ours, other, bound, why) {
    row(what, us(med(ours " cpu")), us(med(other " cpu")), ratio(ours " cpu", other " cpu", ""), bound, why)
}

function make_targets(    why, list, i) {
    why = "rtpengine" in missing ? "rtpengine: " missing["rtpengine"] : ""
    row("the pair saturated, against the floor", us(med("pair saturated cpu")), us(floor_pair["saturated"]),
        med("pair saturated cpu") == "" ? "" : med("pair saturated cpu") / floor_pair["saturated"], "<= 1.6", "")
    against("50,000 packets/s, coalesce = auto, against rtpengine", "pair 50000", "rtpengine 50000", "<= 0.40", why)
    against("20,000 packets/s, coalesce = auto, against rtpengine", "pair 20000", "rtpengine 20000", "<= 0.45", why)
    against("50,000 packets/s, coalesce = 0us, against rtpengine", "pair-0 50000", "rtpengine 50000", "<= 0.65", why)
    against("20,000 packets/s, coalesce = 0us, against rtpengine", "pair-0 20000", "rtpengine 20000", "<= 0.70", why)
    against("at rtpengine's loss-free limit" (limit["rtpengine"] > 0 ? " (" limit["rtpengine"] " packets/s)" : ""),
            "pair at-limit", "rtpengine at-limit", "<= 0.35", why)
    against(setting["many"] " SAs in no order, against 10 SAs", "pair sas-many", "pair sas-few", "<= 1.5", "")
    row("added one-way delay, 20,000 packets/s, coalesce = 0us, p50",
        whole(med("pair-0 20000 p50") - med("direct 20000 p50")) " us",
        med("rtpengine 20000 p50") == "" ? "-" : whole(med("rtpengine 20000 p50") - med("direct 20000 p50")) " us",
        ratio("pair-0 20000 p50", "rtpengine 20000 p50", "direct 20000 p50"), "<= 1.5", why)
    row("the same, p99",
        whole(med("pair-0 20000 p99") - med("direct 20000 p99")) " us",
        med("rtpengine 20000 p99") == "" ? "-" : whole(med("rtpengine 20000 p99") - med("direct 20000 p99")) " us",
        ratio("pair-0 20000 p99", "rtpengine 20000 p99", "direct 20000 p99"), "<= 1.5", why)
    fact("5 % forged and 2 % replayed packets: dropped", auth_fail " and " replay,
         "sent: " forged["forged"] " and " forged["replayed"], forged_there,
         auth_fail == forged["forged"] && replay == forged["replayed"] && forged["forged_came"] == 0 &&
         forged["duplicates"] == 0 && forged["lost"] == 0, "exactly those", "")
    row("two workers of a dmz-relay alone, against one, prebuilt load", per_second(med("burst 2")), per_second(med("burst 1")), \
        ratio("burst 2", "burst 1", ""), ">= 1.7", "burst" in reason ? reason["burst"] : "this build has no workers")
    figure = med("contended")
    fact("two workers: locks that somebody else held, of the packets", figure == "" ? "-" : sprintf("%.3f %%", 100 * figure), \
         "-", figure != "", figure != "" && figure <= 0.001, "at most 0.1 %", \
         "burst" in reason ? reason["burst"] : "this build has no workers")
}

# A system: CPU per packet at both rates, at saturation or its limit, delays, losses.
function system_row(name, words,    r) {
    if (name in missing) return words "\t" missing[name] "\t\t\t\t\t\t"
    return words "\t" us(med(name " 20000 cpu")) "\t" us(med(name " 50000 cpu")) "\t" \
        (limit[name] == "" ? "-" : limit[name] == 0 ? "none" : limit[name]) "\t" \
        whole(med(name " 20000 p50")) "\t" whole(med(name " 20000 p99")) "\t" whole(med(name " 20000 p999")) "\t" \
        (med(name " 20000 loss") == "" ? "-" : sprintf("%.3f %%", med(name " 20000 loss"))) "\t" \
        (med(name " 50000 loss") == "" ? "-" : sprintf("%.3f %%", med(name " 50000 loss")))
}

function make_systems(    i) {
    system_line[++systems] = system_row("pair", "the pair, coalesce = auto")
    system_line[++systems] = system_row("pair-0", "the pair, coalesce = 0us")
    for (i = 1; i <= peers; i++) system_line[++systems] = system_row(order[i], title[order[i]])
    system_line[++systems] = system_row("bare-500", "a bare pair, rest of 500 us")
    system_line[++systems] = system_row("bare-0", "a bare pair, no rest")
    system_line[++systems] = system_row("direct", "no relay")
}

# The pair beside the bare one, and this one beside rtpengine: what of a ratio is ours.
function bare_row(rate, ours, bare, words) {
    bare_line[++bares] = words "\t" us(med(ours " " rate " cpu")) "\t" us(med(bare " " rate " cpu")) "\t" \
        two(ratio(ours " " rate " cpu", bare " " rate " cpu", "")) "\t" \
        two(ratio(bare " " rate " cpu", "rtpengine " rate " cpu", ""))
}

function make_bares() {
    bare_row(50000, "pair", "bare-500", "50,000 packets/s, coalesce = auto; rest of 500 us")
    bare_row(20000, "pair", "bare-500", "20,000 packets/s, the same")
    bare_row(50000, "pair-0", "bare-0", "50,000 packets/s, coalesce = 0us; no rest")
    bare_row(20000, "pair-0", "bare-0", "20,000 packets/s, the same")
}

function make_floor() {
    floor_part("receive, recvmmsg of 32", med("floor receive"))
    floor_part("send, sendmmsg of 32 to distinct destinations", med("floor send"))
    floor_part("verify AES_CM_128_HMAC_SHA1_80 by EVP, contexts used again", med("floor verify-evp"))
    floor_part("the same, HMAC alone (SHA1_*)", med("floor verify-sha1"))
    floor_part("verify AEAD_AES_128_GCM by EVP", med("floor verify-gcm"))
    floor_part("SSL_write and SSL_read, 1 packet a record", med("floor write-1"), med("floor read-1"))
    floor_part("4 packets a record", med("floor write-4"), med("floor read-4"))
    floor_part("16 packets a record", med("floor write-16"), med("floor read-16"))
    floor_part(sprintf("%.1f packets a record, as the pair when saturated", per_record["saturated"]), \
         tls("write", per_record["saturated"]), tls("read", per_record["saturated"]))
    floor_part("lookup and record, 400 and 20,000 entries", med("floor lookup-400"), med("floor lookup-20000"))
    floor_part("not in the sum: a sleep of 500 us", med("floor rest"))
    floor_part("not in the sum: to wake a thread that sleeps, at the sender and at the receiver", \
        med("floor wake-sender"), med("floor wake-receiver"))
}
function floor_part(words, a, b) {
    floor_line[++floors] = words "\t" sprintf("%.2f", a / 1000) (b == "" ? "" : " and " sprintf("%.2f", b / 1000))
}

function saturated_row(what, words) {
    return words "\t" us(med("pair " what " cpu_dmz")) "\t" us(med("pair " what " cpu_inner")) "\t" us(med("pair " what " cpu")) "\t" \
        (floor_pair[what] == "" ? "-" : sprintf("%.2f + %.2f = %.2f us", floor_dmz[what], floor_inner[what], floor_pair[what])) "\t" \
        (floor_pair[what] == "" || med("pair " what " cpu") == "" ? "-" : sprintf("%.2f", med("pair " what " cpu") / floor_pair[what])) "\t" \
        (per_record[what] == "" ? "-" : sprintf("%.1f", per_record[what])) "\t" whole(med("pair " what " rate"))
}

function make_saturated() {
    saturated_line[++saturations] = saturated_row("saturated", "AES_CM_128_HMAC_SHA1_80, " setting["streams"] " SAs, inbound")
    saturated_line[++saturations] = saturated_row("saturated-gcm", "AEAD_AES_128_GCM, " setting["streams"] " SAs, inbound")
    saturated_line[++saturations] = saturated_row("saturated-1200", "AES_CM, RTP of 1,200 octets, inbound")
    saturated_line[++saturations] = saturated_row("both-ways", "AES_CM, 2 times " setting["streams"] " SAs, both ways")
    saturated_line[++saturations] = saturated_row("sas-few", "AES_CM, 10 SAs, inbound")
    saturated_line[++saturations] = saturated_row("sas-many", "AES_CM, " setting["many"] " SAs in no order, inbound")
}

# ---------------------------------------------------------------- sizing

# G.711 or alike: 50 packets/s each way, 1 of 100 more for RTCP; three quarters of a core.
function calls(cpu) { return cpu == "" || cpu == 0 ? "-" : sprintf("%.0f", int(0.75e6 / (cpu * 101) / 100) * 100) }

function make_sizing() {
    size("calls of 2 times 50 packets/s on three quarters of a core, dmz-relay", calls(med("pair both-ways cpu_dmz")))
    size("the same, inner-relay", calls(med("pair both-ways cpu_inner")))
    size("the same, calls per core of a host that runs both", calls(med("pair both-ways cpu")))
    if (sas) {
        size("memory of a call (two SAs), dmz-relay", sprintf("%.1f kB", 2 * memory["dmz"] / 1000))
        size("memory of a call (two SAs), inner-relay", sprintf("%.1f kB", 2 * memory["inner"] / 1000))
    }
}
function size(words, figure) { sizing_line[++sizings] = words "\t" figure }

# ---------------------------------------------------------------- printing

# Columns of a table, in order to line them up: widths of the text form.
function text_table(head, lines, count,    i, j, n, cell, width, line) {
    for (i = 0; i <= count; i++) {
        n = split(i ? lines[i] : head, cell, "\t")
        for (j = 1; j <= n; j++)
            if (length(cell[j]) > width[j]) width[j] = length(cell[j])
    }
    for (i = 0; i <= count; i++) {
        n = split(i ? lines[i] : head, cell, "\t")
        line = ""
        for (j = 1; j <= n; j++) line = line sprintf("%-" width[j] "s  ", cell[j])
        sub(/ +$/, "", line)
        print line
    }
    print ""
}

function md_table(head, lines, count,    i, n, cell, line) {
    n = split(head, cell, "\t")
    line = "|"
    for (i = 1; i <= n; i++) line = line "---|"
    gsub(/\t/, " | ", head)
    print "| " head " |"
    print line
    for (i = 1; i <= count; i++) {
        line = lines[i]
        gsub(/\t/, " | ", line)
        print "| " line " |"
    }
    print ""
}

function table(title, head, lines, count) {
    print (form == "md" ? "### " : "== ") title
    print ""
    if (form == "md") md_table(head, lines, count)
    else text_table(head, lines, count)
}

function say(words) { print words; print "" }

function print_all(    i, missed, unknown) {
    for (i = 1; i <= targets; i++) {
        missed += target[i] ~ /MISSED$/
        unknown += target[i] ~ /not measured[^\t]*$/
    }
    say(date ": " machine ".")
    if (match(machine, /load [0-9.]+/) && substr(machine, RSTART + 5, RLENGTH - 5) > 0.7)
        say("The machine had other work, as its load shows: these figures are rough, delays above all.")
    if (setting["rmem_max"] < 4194304)
        say("net.core.rmem_max is " setting["rmem_max"] ": sockets hold few packets, and the kernel drops the others; " \
            "systemd/media-relay.sysctl has what is right.")
    if (smoke) say("A smoke run: to see that it works. Its figures are worth nothing.")
    table("Targets", "work\tfigure\tagainst\tratio\ttarget\tresult", target, targets)
    say((missed ? missed " of " targets " MISSED" : "None missed") (unknown ? ", " unknown " not measured." : "."))
    table("Each relay, CPU time per packet (both ends) and one-way delay",
          "relay\tat 20,000/s\tat 50,000/s\tloss-free up to\tp50, us\tp99\tp99.9\tloss at 20,000/s\tat 50,000/s", system_line, systems)
    table("What a bare pair costs", "load\tthe pair\ta bare pair\tratio\tthe bare pair against rtpengine", bare_line, bares)
    table("The pair saturated, CPU time per packet", "load\tdmz-relay\tinner-relay\tboth\tfloor\tratio\tpackets a record\tpackets/s",
          saturated_line, saturations)
    table("The floor, microseconds of CPU time per packet", "part\tfigure", floor_line, floors)
    print "floor of the dmz-relay = receive + lookup + verify (EVP) + SSL_write; of the inner-relay = SSL_read + lookup +"
    say("verify (HMAC alone; of AEAD suites EVP) + send; SSL_write and SSL_read at the packets a record that the pair had" \
        (assumed ? " (not known here: 16 assumed)" : "") ".")
    table("Sizing", "what\tfigure", sizing_line, sizings)
    say("Settings: " settings ".")
}

# ---------------------------------------------------------------- the plot

function x_of(rate) { return 90 + 620 * (log(rate) - log(15000)) / (log(400000) - log(15000)) }
function y_of(cpu) { return 420 - 380 * (cpu > y_top ? y_top : cpu) / y_top }

function text_at(x, y, words, anchor, colour) {
    printf "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"%s\" fill=\"%s\">%s</text>\n", x, y, anchor, colour, words
}

function curve(name, words, colour, extra_rate, extra_cpu,    i, n, rates, cpu, points, x, y, label_y) {
    n = split("20000 25000 32000 40000 50000 64000 80000 100000 125000 150000 175000 200000 225000 250000 300000", rates, " ")
    for (i = 1; i <= n; i++) {
        cpu = med(name " " rates[i] " cpu")
        # Of the search for the limit: those that got through.
        if (cpu == "" && rates[i] <= limit[name] + 0) cpu = med(name " try-" rates[i] " cpu")
        if (cpu == "" || cpu == 0) continue
        x = x_of(rates[i]); y = y_of(cpu)
        points = points sprintf("%.1f,%.1f ", x, y)
        printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", x, y, colour
    }
    if (extra_rate > 0 && extra_cpu > 0) {
        x = x_of(extra_rate); y = y_of(extra_cpu)
        points = points sprintf("%.1f,%.1f ", x, y)
        printf "<rect x=\"%.1f\" y=\"%.1f\" width=\"8\" height=\"8\" fill=\"%s\"/>\n", x - 4, y - 4, colour
    }
    if (points == "") return
    printf "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n", points, colour
    printf "<rect x=\"730\" y=\"%d\" width=\"14\" height=\"4\" fill=\"%s\"/>\n", 50 + 22 * legend, colour
    text_at(750, 57 + 22 * legend++, words, "start", "#222")
}

function print_plot(    i, n, mark, colours, value) {
    n = split("pair pair-0 rtpengine pass-through coturn openvpn stunnel", mark, " ")
    for (i = 1; i <= n; i++) { value = med(mark[i] " 20000 cpu"); if (value > y_top) y_top = value }
    y_top = y_top < 5 ? 5 : y_top > 40 ? 40 : (int(y_top / 5) + 1) * 5
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"960\" height=\"480\" font-family=\"sans-serif\" font-size=\"13\">"
    print "<rect width=\"960\" height=\"480\" fill=\"#fff\"/>"
    text_at(90, 24, "CPU time per packet, both ends, over packets/s (" date (smoke ? ", a smoke run: worth nothing" : "") ")", "start", "#222")
    for (i = 0; i <= y_top; i += y_top > 20 ? 5 : y_top > 8 ? 2 : 1) {
        printf "<line x1=\"90\" x2=\"710\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n", y_of(i), y_of(i)
        text_at(82, y_of(i) + 4, i " us", "end", "#222")
    }
    n = split("20000 50000 100000 200000 400000", mark, " ")
    for (i = 1; i <= n; i++) {
        printf "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"420\" y2=\"425\" stroke=\"#222\"/>\n", x_of(mark[i]), x_of(mark[i])
        text_at(x_of(mark[i]), 440, mark[i], "middle", "#222")
    }
    text_at(400, 464, "packets/s (square: saturated)", "middle", "#222")
    printf "<line x1=\"90\" x2=\"710\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#222\" stroke-dasharray=\"6 4\"/>\n", \
        y_of(floor_pair["saturated"]), y_of(floor_pair["saturated"])
    text_at(94, y_of(floor_pair["saturated"]) - 5, "floor", "start", "#222")
    curve("pair", "the pair, auto", "#0b6e4f", med("pair saturated rate"), med("pair saturated cpu"))
    curve("pair-0", "the pair, coalesce 0", "#4cb944")
    split("#c1121f #f4a259 #5b4e9c #1f77b4 #7a7a7a", colours, " ")
    for (i = 1; i <= peers; i++) curve(order[i], title[order[i]], colours[i])
    print "</svg>"
}

END {
    compute_floor("saturated", "verify-evp", "verify-sha1")
    compute_floor("saturated-gcm", "verify-gcm", "verify-gcm")
    if (form == "svg") {
        print_plot()
    } else {
        make_targets()
        make_systems()
        make_bares()
        make_saturated()
        make_floor()
        make_sizing()
        print_all()
    }
}
