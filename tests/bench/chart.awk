# A bar chart in SVG of lines "root TAB command TAB milliseconds".
#
# The scale is linear and starts at zero. Milliseconds of a small and of a large root do not fit on one such scale, so a bar's
# length is the time as a multiple of what ldconfig took on the same root; the milliseconds are written beside it.

BEGIN {
	FS = "\t"
	count = split("toolkit, fresh|ldconfig -i -r, fresh|ldconfig -r, again|ours, fresh|ours, again|floor: read only", shown, "|")
	split("NVIDIA Container Toolkit|ldconfig -i -r|ldconfig -r, nothing changed|nvidia-ctk|nvidia-ctk, nothing changed|" \
		"reading the libraries, no more", label, "|")
	split("toolkit|ldconfig|ldconfig-again|ours|ours-again|floor", class, "|")
}

!($1 in seen) { seen[$1] = 1; root[++roots] = $1 }
{
	ms[$1, $2] = $3
	if ($2 == "ldconfig -i -r, fresh")
		unit[$1] = $3
}

END {
	width = 760; left = 222; right = 128; bar = 17; step = 23; head = 34; top = 62
	most = 1
	for (r = 1; r <= roots; r++) {
		for (i = 1; i <= count; i++)
			if ((root[r], shown[i]) in ms) {
				rows++
				if (ms[root[r], shown[i]] / unit[root[r]] > most)
					most = ms[root[r], shown[i]] / unit[root[r]]
			}
	}
	height = top + roots * (head + 6) + rows * step + 44
	scale = (width - left - right) / most
	tick = most > 3 ? 1 : most > 1.5 ? 0.5 : 0.25
	bottom = height - 40

	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\" ", width, height,
		width, height
	print "font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif\" font-size=\"13\">"
	print "<title>Time to update ld.so.cache of a container's root, as multiples of ldconfig's</title>"
	style()
	printf "<rect class=\"page\" x=\"0.5\" y=\"0.5\" width=\"%d\" height=\"%d\" rx=\"6\"/>\n", width - 1, height - 1
	print "<text x=\"16\" y=\"26\" font-size=\"16\" font-weight=\"600\">Time to update a container's ld.so.cache</text>"
	print "<text x=\"16\" y=\"46\" class=\"quiet\">Whole process, median, warm cache. ldconfig -i -r on the same root = 1; " \
		"shorter is better.</text>"
	for (x = 0; x <= most + 0.001; x += tick)
		printf "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\" class=\"quiet\" font-size=\"12\">%g</text>\n", left + x * scale,
			bottom + 16, x
	y = top
	for (r = 1; r <= roots; r++) {
		printf "<text x=\"16\" y=\"%d\" font-weight=\"600\">%s</text>\n", y + 22, escape(root[r])
		y += head
		bars = 0
		for (i = 1; i <= count; i++)
			bars += (root[r], shown[i]) in ms
		for (x = 0; x <= most + 0.001; x += tick)
			printf "<line class=\"%s\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>\n", x ? "grid" : "axis", left + x * scale,
				left + x * scale, y - 3, y + bars * step
		for (i = 1; i <= count; i++) {
			if (!((root[r], shown[i]) in ms))
				continue
			length_ = ms[root[r], shown[i]] * scale / unit[root[r]]
			bold = shown[i] == "ours, fresh" ? " font-weight=\"600\"" : ""
			printf "<text x=\"%d\" y=\"%d\" text-anchor=\"end\"%s>%s</text>\n", left - 8, y + 13, bold, escape(label[i])
			printf "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>\n", class[i], left, y, length_, bar
			printf "<text x=\"%.1f\" y=\"%d\"%s>%.2f ms<tspan dx=\"8\" class=\"quiet\" font-weight=\"400\">×%.2f</tspan></text>\n",
				left + length_ + 6, y + 13, bold, ms[root[r], shown[i]], ms[root[r], shown[i]] / unit[root[r]]
			y += step
		}
		y += 6
	}
	printf "<text x=\"16\" y=\"%d\" class=\"quiet\" font-size=\"12\">multiples of ldconfig -i -r</text>\n", bottom + 16
	print "</svg>"
}

# Colours for a light page and for a dark one.
function style() {
	print "<style>"
	print ".page { fill: #ffffff; stroke: #d1d9e0 } text { fill: #1f2328 } .quiet { fill: #59636e }"
	print ".axis { stroke: #8c959f } .grid { stroke: #e6e9ed }"
	print ".toolkit { fill: #7d8590 } .ldconfig { fill: #9aa4af } .ldconfig-again { fill: #c3cad2 } .floor { fill: #dde1e6 }"
	print ".ours { fill: #3d7a00 } .ours-again { fill: #76b900 }"
	print "@media (prefers-color-scheme: dark) {"
	print ".page { fill: #0d1117; stroke: #3d444d } text { fill: #f0f6fc } .quiet { fill: #9198a1 }"
	print ".axis { stroke: #656c76 } .grid { stroke: #2a313c }"
	print ".toolkit { fill: #9198a1 } .ldconfig { fill: #656c76 } .ldconfig-again { fill: #4a525c } .floor { fill: #363d47 }"
	print ".ours { fill: #76b900 } .ours-again { fill: #4d7a00 }"
	print "}"
	print "</style>"
}

function escape(text) {
	gsub(/&/, "\\&amp;", text)
	gsub(/</, "\\&lt;", text)
	return text
}
