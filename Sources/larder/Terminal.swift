import FoundationEssentials
import Glibc

/// Writing to a person or to a program.
enum Terminal {
    static var isInteractive: Bool { isatty(STDERR_FILENO) == 1 && getenv("TERM").map { String(cString: $0) } != "dumb" }

    static var columns: Int {
        var size = winsize()
        return ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
    }

    static func error(_ line: String) { write(line + "\n", to: STDERR_FILENO) }
    static func output(_ line: String) { write(line + "\n", to: STDOUT_FILENO) }

    static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno != EINTR { return }
            if count > 0 { bytes = bytes.dropFirst(count) }
        }
    }

    /// Prints a value as one JSON document.
    static func json(_ value: some Encodable) throws { output(try text(of: value)) }

    /// JSON, keys sorted so that output can be compared.
    static func text(of value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    /// Does one thing after the other. What came of each is a line as soon as it is done, or all are one JSON document when all are done.
    static func each<Subject, Report: Encodable>(
        _ subjects: some Sequence<Subject>, asJSON: Bool, _ act: (Subject) async throws -> (Report, line: String)
    ) async throws {
        var reports: [Report] = []
        for subject in subjects {
            let (report, line) = try await act(subject)
            if asJSON { reports.append(report) } else { output(line) }
        }
        if asJSON { try json(reports) }
    }

    /// Columns padded to their widest cell.
    static func table(_ rows: [[String]]) {
        var widths: [Int] = []
        for row in rows {
            for (column, cell) in row.enumerated() {
                if column == widths.count { widths.append(0) }
                widths[column] = max(widths[column], cell.count)
            }
        }
        for row in rows {
            let cells = row.enumerated().map { column, cell in
                column == row.count - 1 ? cell : cell + String(repeating: " ", count: widths[column] - cell.count)
            }
            output(cells.joined(separator: "  "))
        }
    }
}

extension UInt64 {
    /// Bytes for people: `12.3 MB`.
    var bytesText: String {
        let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"]
        var value = Double(self)
        var unit = 0
        while value >= 1000 && unit < units.count - 1 {
            value /= 1000
            unit += 1
        }
        return unit == 0 ? "\(self) B" : "\(fixed(value, value < 10 ? 2 : value < 100 ? 1 : 0)) \(units[unit])"
    }
}

/// `value` with a fixed number of decimals.
func fixed(_ value: Double, _ decimals: Int) -> String {
    var scale = 1.0
    for _ in 0..<decimals { scale *= 10 }
    let scaled = Int64((value * scale).rounded())
    guard decimals > 0 else { return String(scaled) }
    let fraction = String(abs(scaled) % Int64(scale))
    return "\(scaled / Int64(scale))." + String(repeating: "0", count: decimals - fraction.count) + fraction
}
