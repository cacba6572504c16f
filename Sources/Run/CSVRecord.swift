/// The first record of comma-separated values as Go's `encoding/csv` reads it (RFC 4180), which is what BuildKit uses for
/// the values of `--mount`, `--secret` and `--cache-to`.
enum CSVRecord {
    struct Malformed: Error, Equatable, CustomStringConvertible {
        let description: String
    }

    private static let comma = UInt8(ascii: ",")
    private static let quote = UInt8(ascii: "\"")

    static func fields(of text: String) throws(Malformed) -> [String] {
        var lines = Lines(Array(text.utf8))
        // Lines with nothing in them are not records.
        var line = lines.next()
        while line == [10][...] { line = lines.next() }
        guard var rest = line else { throw Malformed(description: "EOF") }
        let firstLine = lines.number
        var column = 1
        var fields: [String] = []

        while true {
            guard rest.first == quote else {
                let end = rest.firstIndex { $0 == comma }
                let field = end.map { rest[..<$0] } ?? (rest.last == 10 ? rest.dropLast() : rest)
                if let stray = field.firstIndex(of: quote) {
                    throw malformed(firstLine, lines.number, column + stray - rest.startIndex, "bare \" in non-quoted field")
                }
                fields.append(String(decoding: field, as: UTF8.self))
                guard let end else { return fields }
                column += end + 1 - rest.startIndex
                rest = rest[(end + 1)...]
                continue
            }
            rest = rest.dropFirst()
            column += 1
            var field: [UInt8] = []
            var isLast = false
            quoted: while true {
                if let end = rest.firstIndex(of: quote) {
                    field += rest[..<end]
                    column += end + 1 - rest.startIndex
                    rest = rest[(end + 1)...]
                    switch rest.first {
                    case quote:
                        field.append(quote)
                        rest = rest.dropFirst()
                        column += 1
                    case comma:
                        rest = rest.dropFirst()
                        column += 1
                        break quoted
                    case nil, 10:
                        isLast = true
                        break quoted
                    default:
                        throw malformed(firstLine, lines.number, column - 1, "extraneous or missing \" in quoted-field")
                    }
                } else {
                    field += rest
                    column += rest.count
                    guard let next = lines.next() else { throw malformed(firstLine, lines.number, column, "extraneous or missing \" in quoted-field") }
                    rest = next
                    column = 1
                }
            }
            fields.append(String(decoding: field, as: UTF8.self))
            if isLast { return fields }
        }
    }

    private static func malformed(_ first: Int, _ line: Int, _ column: Int, _ reason: String) -> Malformed {
        let place = "parse error on line \(line), column \(column): \(reason)"
        return Malformed(description: first == line ? place : "record on line \(first); \(place)")
    }

    /// Lines with their end, CR LF made LF. A last line that has no end loses one CR.
    private struct Lines {
        private var rest: ArraySlice<UInt8>
        private(set) var number = 0

        init(_ bytes: [UInt8]) { rest = bytes[...] }

        mutating func next() -> ArraySlice<UInt8>? {
            guard !rest.isEmpty else { return nil }
            number += 1
            guard let end = rest.firstIndex(of: 10) else {
                defer { rest = [] }
                return rest.last == 13 ? rest.dropLast() : rest
            }
            var line = rest[...end]
            rest = rest[(end + 1)...]
            if line.count > 1, line[line.endIndex - 2] == 13 { line = line.dropLast(2) + [10] }
            return line
        }
    }
}
