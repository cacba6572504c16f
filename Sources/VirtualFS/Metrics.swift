/// One figure for `metrics`, in the terms of the Prometheus text format.
public struct Metric: Sendable {
    public enum Kind: String, Sendable { case counter, gauge }

    public var name: String
    public var help: String
    public var kind: Kind
    /// Label name and value; empty for none.
    public var labels: [(String, String)]
    public var value: Double

    public init(_ name: String, _ help: String, _ kind: Kind = .counter, labels: [(String, String)] = [], value: Double) {
        self.name = name
        self.help = help
        self.kind = kind
        self.labels = labels
        self.value = value
    }
}

extension [Metric] {
    /// The Prometheus text exposition format, version 0.0.4. Metrics of one name must stand together.
    public var prometheusText: String {
        var text = ""
        var previous = ""
        for metric in self {
            if metric.name != previous {
                text += "# HELP \(metric.name) \(metric.help)\n# TYPE \(metric.name) \(metric.kind.rawValue)\n"
                previous = metric.name
            }
            let labels = metric.labels.map { "\($0)=\"\($1.escapedLabel)\"" }.joined(separator: ",")
            let value = metric.value == metric.value.rounded() && abs(metric.value) < 1e15 ? String(Int64(metric.value)) : String(metric.value)
            text += "\(metric.name)\(labels.isEmpty ? "" : "{\(labels)}") \(value)\n"
        }
        return text
    }
}

extension String {
    fileprivate var escapedLabel: String {
        var text = ""
        for character in unicodeScalars {
            switch character {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n": text += "\\n"
            default: text.unicodeScalars.append(character)
            }
        }
        return text
    }
}
