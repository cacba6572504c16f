import Glibc
import Images
import OCI

/// `larder status --watch`: the status of the running mounts again and again. On a terminal one view is drawn over the last; elsewhere
/// each image with something going on is a line.
struct StatusWatch {
    let interval: Duration
    let look: () throws -> [StatusMount]

    /// Ends with Ctrl-C, or when the output is closed.
    func run() throws -> Never {
        let isTerminal = isatty(STDOUT_FILENO) == 1
        try SignalThread.start([SIGINT, SIGTERM]) { _ in
            if isTerminal { Terminal.write("\u{1B}[?25h\n", to: STDOUT_FILENO) }
            Glibc.exit(0)
        }
        if isTerminal { Terminal.write("\u{1B}[?25l\u{1B}[2J", to: STDOUT_FILENO) }
        while true {
            let mounts = try look()
            if isTerminal { draw(mounts) } else { try print(mounts) }
            let (seconds, attoseconds) = interval.components
            usleep(UInt32(clamping: seconds * 1_000_000 + attoseconds / 1_000_000_000_000))
        }
    }

    private func print(_ mounts: [StatusMount]) throws {
        let text = mounts.flatMap { StatusView.lines(of: $0) }.map { $0 + "\n" }.joined()
        let bytes = Array(text.utf8)
        // A reader that has gone is the end, not an error.
        guard bytes.isEmpty || write(STDOUT_FILENO, bytes, bytes.count) >= 0 || errno == EINTR else { Glibc.exit(0) }
    }

    private func draw(_ mounts: [StatusMount]) {
        var size = winsize()
        let isKnown = ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_row > 2 && size.ws_col > 20
        let view = StatusView.view(of: mounts, columns: isKnown ? Int(size.ws_col) : 80)
        let rows = isKnown ? Int(size.ws_row) - 1 : 1000
        // Each line is cleared to its end after it was written, so that nothing flickers.
        var text = "\u{1B}[H"
        for line in view.prefix(rows) { text += line + "\u{1B}[K\n" }
        Terminal.write(text + "\u{1B}[J", to: STDOUT_FILENO)
    }
}

/// The status of mounts as text.
enum StatusView {
    /// One plain line for each image of which something is in use.
    static func lines(of mount: StatusMount) -> [String] {
        guard let daemon = mount.daemon else { return ["\(mount.mountPoint) \(mount.answers ? "has no status of its own" : "does not answer")"] }
        let head = "\(mount.mountPoint) rss=\(daemon.residentBytes) rate=\(Int64(daemon.fetching.bytesPerSecond)) waiting=\(daemon.fetching.waitingReaders) requests=\(daemon.network.requests) received=\(daemon.network.bytesReceived)"
        return [head] + daemon.images.compactMap { image in
            guard let layers = image.layers else { return nil }
            return "\(mount.mountPoint) image=\(image.reference) here=\(layers.compactMap(\.contentBytesHere).reduce(0, +)) content=\(layers.compactMap(\.contentBytes).reduce(0, +)) fetched=\(layers.map(\.fetchedBytes).reduce(0, +)) rate=\(Int64(layers.compactMap(\.bytesPerSecond).reduce(0, +))) waiting=\(layers.compactMap(\.waitingReaders).reduce(0, +)) profile=\(image.profile?.text ?? "no") complete=\(image.complete == true)"
        }
    }

    /// The whole view, each line no longer than `columns`.
    static func view(of mounts: [StatusMount], columns: Int) -> [String] {
        guard !mounts.isEmpty else { return ["nothing is mounted; try: larder mount /larder"] }
        return mounts.flatMap { view(of: $0, columns) }.map { String($0.prefix(columns)) }
    }

    private static func view(_ daemon: DaemonReport.Document) -> [String] {
        let fetching = daemon.fetching
        let causes = FetchCause.allCases.compactMap { cause in
            fetching.causes[cause.name].flatMap { $0.requests == 0 ? nil : "\(cause.name) \($0.bytes.bytesText) in \($0.requests)" }
        }
        let limit = daemon.kept.maxBytes.map { " of \($0.bytesText)" } ?? ""
        let kept = daemon.kept.bytes.map { $0.values.reduce(0, +).bytesText + limit + ", " } ?? ""
        return [
            "\(UInt64(fetching.bytesPerSecond).bytesText)/s, \(fetching.waitingReaders) readers waiting, \(daemon.network.requests) requests, \(daemon.residentBytes.bytesText) resident",
            "store \(kept)\(daemon.storeFreeBytes.bytesText) free" + (daemon.kept.evictedFiles > 0 ? ", \(daemon.kept.evictedBytes.bytesText) evicted" : ""),
        ] + (causes.isEmpty ? [] : ["fetched: " + causes.joined(separator: ", ")])
    }

    private static func view(of mount: StatusMount, _ columns: Int) -> [String] {
        guard let daemon = mount.daemon else { return ["\(mount.mountPoint)  \(mount.answers ? "one tree alone, or a cache" : "does not answer")"] }
        var lines = ["\(mount.mountPoint)  pid \(daemon.pid), up \(daemon.uptimeSeconds) s"] + view(daemon).map { "  " + $0 }
        let used = daemon.images.filter { $0.layers != nil }
        for image in used {
            lines.append("")
            lines.append("  \(image.reference)  \(image.digest.short)\(image.complete == true ? "  all here" : "")\(image.profile.map { "  profile: \($0.text)" } ?? "")")
            for layer in image.layers ?? [] { lines.append("    " + row(layer, columns - 4)) }
        }
        if used.count < daemon.images.count { lines += ["", "  \(daemon.images.count - used.count) more images, not in use"] }
        return lines
    }

    private static func row(_ layer: ImageStatus.Layer, _ columns: Int) -> String {
        func pad(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }
        let share: Double
        let amount: String
        if let total = layer.contentBytes, let here = layer.contentBytesHere {
            share = total == 0 ? 1 : Double(here) / Double(total)
            amount = "\(here.bytesText) / \(total.bytesText)"
        } else {
            // Not unpacked yet: what has come of the blob.
            share = layer.size == 0 ? 0 : Double(layer.fetchedBytes) / Double(layer.size)
            amount = "\(layer.fetchedBytes.bytesText) / \(layer.size.bytesText)"
        }
        let width = max(6, min(24, columns - 90))
        let filled = Int(min(1, max(0, share)) * Double(width))
        let bar = String(repeating: "=", count: filled) + String(repeating: " ", count: width - filled)
        var text = "\(layer.digest.short)  \(pad(layer.format ?? "-", 12))  \(pad(layer.indexSource ?? "-", 17))  [\(bar)] \(pad(amount, 19))"
        if layer.fetchedBytes > 0 { text += "  fetched \(layer.fetchedBytes.bytesText)" }
        if let rate = layer.bytesPerSecond, rate >= 1 { text += ", \(UInt64(rate).bytesText)/s" }
        if let waiting = layer.waitingReaders, waiting > 0 { text += ", \(waiting) waiting" }
        if layer.fetchingRest == true { text += ", fetching the rest" }
        if layer.sealed { text += "  sealed" }
        return text
    }
}

extension ImageStatus.Layer {
    /// Compressed bytes of it that the daemon has fetched.
    var fetchedBytes: UInt64 { fetched.map { $0.values.reduce(0, +) } ?? 0 }
}

extension ImageStatus.Profile {
    var text: String {
        if broughtSpans < wantedSpans { return "\(broughtSpans)/\(wantedSpans)-spans" }
        return recording ? "recording" : present ? "yes" : "no"
    }
}
