/// The filters of `buildctl prune` and `buildctl du` (containerd's grammar) over the fields of whatever there is to choose from.
///
/// `FIELD` (is there, or is so), `FIELD==VALUE` (also `=`), `FIELD!=VALUE`, `FIELD~=REGEX`; commas mean and, several filters mean
/// or. A value with a comma is quoted: `"a,b"`. `until=DURATION` is what was unused for so long.
public struct FilterExpression: Sendable {
    public struct BadFilter: Error, Sendable, Equatable, CustomStringConvertible {
        public let description: String
    }

    private enum Test: Sendable {
        case present
        case equal(String)
        case unequal(String)
        case matching(Pattern)
        case idle(Duration)
    }

    /// Compiled once to see that it is right, and again where it is used: `Regex` is not Sendable.
    private struct Pattern: Sendable {
        let text: String

        init?(_ text: String) {
            guard (try? Regex(text)) != nil else { return nil }
            self.text = text
        }

        func matches(_ value: String) -> Bool { (try? Regex(text)).flatMap { try? $0.firstMatch(in: value) } != nil }
    }

    private var tests: [(field: String, test: Test)] = []

    /// - Parameter fields: what a filter can ask for, `until` apart; lowercase.
    /// - Throws: `BadFilter`, with what is known.
    public init(_ text: String, fields: [String]) throws(BadFilter) {
        var rest = text[...]
        let known = (fields + ["until"]).sorted()
        repeat {
            tests.append(try Self.takeTest(&rest, known))
        } while Self.take(",", &rest)
        guard rest.isEmpty else { throw BadFilter(description: "filter '\(text)': unexpected '\(rest.prefix(20))'") }
    }

    private static func takeTest(_ rest: inout Substring, _ fields: [String]) throws(BadFilter) -> (field: String, test: Test) {
        let field = rest.prefix { $0.isASCII && ($0.isLetter || $0 == ".") }.lowercased()
        guard fields.contains(field) else {
            throw BadFilter(description: "filter field '\(rest.prefix { $0 != "," && $0 != "=" }.prefix(40))' is not known; known are \(fields.joined(separator: ", "))")
        }
        rest = rest.dropFirst(field.count)
        let test: Test
        if take("!=", &rest) {
            test = .unequal(try takeValue(&rest))
        } else if take("~=", &rest) {
            let value = try takeValue(&rest)
            guard let pattern = Pattern(value) else { throw BadFilter(description: "filter '\(field)~=\(value)': no regular expression") }
            test = .matching(pattern)
        } else if take("==", &rest) || take("=", &rest) {
            test = .equal(try takeValue(&rest))
        } else {
            test = .present
        }
        guard field == "until" else { return (field, test) }
        guard case .equal(let value) = test, let idle = Quantity.duration(value) else {
            throw BadFilter(description: "filter 'until' is until=DURATION, such as until=48h: unused for so long")
        }
        return (field, .idle(idle))
    }

    private static func takeValue(_ rest: inout Substring) throws(BadFilter) -> String {
        guard take("\"", &rest) else {
            let value = rest.prefix { $0 != "," }
            rest = rest.dropFirst(value.count)
            return String(value)
        }
        var value = ""
        while let character = rest.popFirst() {
            if character == "\"" { return value }
            // Escapes are for the quote and themselves; a regular expression keeps its own.
            if character == "\\", let next = rest.first, next == "\"" || next == "\\" {
                value.append(next)
                rest = rest.dropFirst()
            } else {
                value.append(character)
            }
        }
        throw BadFilter(description: "filter value \"\(value.prefix(40)) has no closing quote")
    }

    private static func take(_ text: String, _ rest: inout Substring) -> Bool {
        guard rest.hasPrefix(text) else { return false }
        rest = rest.dropFirst(text.count)
        return true
    }

    /// - Parameters:
    ///   - idle: for how long nobody has used the subject.
    ///   - value: what a field has to say of it. A field without a value is absent: `inuse` alone is true only for what is in use.
    public func accepts(idle: Duration, _ value: (_ field: String) -> String?) -> Bool {
        tests.allSatisfy { field, test in
            let value = value(field)
            switch test {
            case .present: return value?.isEmpty == false
            case .equal(let wanted): return value == wanted
            case .unequal(let unwanted): return value != unwanted
            case .matching(let pattern): return value.map(pattern.matches) ?? false
            case .idle(let duration): return idle >= duration
            }
        }
    }
}
