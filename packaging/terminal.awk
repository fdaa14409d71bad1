# A picture of a terminal in SVG, of what tests/long/terminal.sh recorded: lines that begin with "# " or go on after a backslash are
# commands, the others are what they printed.

BEGIN { width = 800; left = 24; top = 78; step = 20 }

{
	gsub(/&/, "\\&amp;")
	gsub(/</, "\\&lt;")
	text[NR] = $0
	is_command[NR] = /^# / || continues
	continues = is_command[NR] && /\\$/
}

END {
	bottom = top + NR * step
	height = bottom + 44
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\" ", width, height,
		width, height
	print "aria-labelledby=\"title desc\" font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"14\">"
	print "<title id=\"title\">From a driver to a container that finds libcuda</title>"
	print "<desc id=\"desc\">nvidia-ctk cdi generate writes a CDI spec, cdi list prints its devices. In a container " \
		"that podman starts with the device nvidia.com/gpu=all, ldconfig -p lists libcuda.so.1, it loads, and cuInit returns 100.</desc>"
	print "<style>"
	print ".page { fill: #f6f8fa; stroke: #d1d9e0 } .bar { fill: #d1d9e0 } text { fill: #59636e } .command { fill: #1f2328; font-weight: 600 }"
	print ".prompt { fill: #3d7a00 }"
	print "@media (prefers-color-scheme: dark) {"
	print ".page { fill: #0d1117; stroke: #3d444d } .bar { fill: #3d444d } text { fill: #b1bac4 } .command { fill: #f0f6fc } .prompt { fill: #76b900 }"
	print "}"
	print "</style>"
	printf "<rect class=\"page\" x=\"0.5\" y=\"0.5\" width=\"%d\" height=\"%d\" rx=\"8\"/>\n", width - 1, height - 1
	for (i = 0; i < 3; i++)
		printf "<circle class=\"bar\" cx=\"%d\" cy=\"22\" r=\"6\"/>\n", left + 6 + 20 * i
	printf "<path class=\"bar\" d=\"M1 44H%dV45H1z\"/>\n", width - 1
	for (i = 1; i <= NR; i++) {
		line = text[i]
		if (is_command[i])
			sub(/^# /, "<tspan class=\"prompt\"># </tspan>", line)
		printf "<text xml:space=\"preserve\" x=\"%d\" y=\"%d\"%s>%s</text>\n", left, top + (i - 1) * step,
			is_command[i] ? " class=\"command\"" : "", line
	}
	printf "<path class=\"bar\" d=\"M1 %dH%dV%dH1z\"/>\n", bottom - 8, width - 1, bottom - 7
	printf "<text x=\"%d\" y=\"%d\" font-size=\"12\">%s</text>\n", left, bottom + 18,
		"The libraries are NVIDIA's, the two GPUs are made up: cuInit = 100 is CUDA_ERROR_NO_DEVICE."
	print "</svg>"
}
