import FoundationEssentials
import Glibc
import Logging

/// One line for each record on standard error, or into a file: `TIME LEVEL message key=value ...`. Under systemd the time
/// is left out, because the journal has it.
struct LineLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level
    private let descriptor: Int32
    private let withTime: Bool

    init(level: Logger.Level, descriptor: Int32 = STDERR_FILENO, withTime: Bool = getenv("JOURNAL_STREAM") == nil) {
        logLevel = level
        self.descriptor = descriptor
        self.withTime = withTime
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var line = withTime ? Date.now.formatted(.iso8601) + " " : ""
        line += "\(event.level) \(event.message)"
        let all = metadata.merging(event.metadata ?? [:]) { _, new in new }
        for (key, value) in all.sorted(by: { $0.key < $1.key }) { line += " \(key)=\(quoted("\(value)"))" }
        Terminal.write(line + "\n", to: descriptor)
    }

    /// A value that holds spaces or control characters is quoted, so that nothing from outside can forge a line.
    private func quoted(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { $0 == " " || $0 == "\"" || $0.value < 32 || $0.value == 127 }) || text.isEmpty else { return text }
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            case _ where scalar.value < 32 || scalar.value == 127: result += "\\x" + String(scalar.value, radix: 16)
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
