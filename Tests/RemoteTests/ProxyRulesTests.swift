@testable import Remote
import Testing

struct ProxyRulesTests {
    private func proxy(_ environment: [String: String], _ url: String) throws -> ProxyRules.Proxy? {
        try ProxyRules(environment: environment).proxy(for: try #require(Address(url)).origin)
    }

    @Test func theSchemeChoosesTheVariable() throws {
        let environment = ["http_proxy": "http://plain:1", "HTTPS_PROXY": "secure:2", "all_proxy": "socks5://every"]
        #expect(try proxy(environment, "http://a")?.host == "plain")
        #expect(try proxy(environment, "https://a")?.host == "secure")
        let every = try proxy(["all_proxy": "socks5h://every"], "https://a")
        #expect(every?.scheme == .socks && every?.port == 1080)
        #expect(try proxy(["https_proxy": "", "ALL_PROXY": "x:7"], "https://a")?.port == 7)
        #expect(try proxy(["http_proxy": "lower:1", "HTTP_PROXY": "upper:1"], "http://a")?.host == "lower")
        #expect(try proxy(["http_proxy": "p"], "http://a")?.port == 80)
        #expect(try proxy([:], "https://a") == nil)
    }

    @Test func theLoginIsDecodedAndNotPrinted() throws {
        let proxy = try #require(try proxy(["https_proxy": "http://us%40er:p%3Aw%zz@h:3/path"], "https://a"))
        #expect(proxy.host == "h" && proxy.port == 3)
        #expect(proxy.login == .password(user: "us@er", secret: "p:w%zz"))
        #expect(!"\(proxy)".contains("p:w") && !String(reflecting: proxy).contains("p:w"))
    }

    @Test(arguments: ["https://h:1", "ftp://h", "http://", "h:99999", "http://[::1"])
    func whatIsNoProxyIsAnError(_ text: String) {
        #expect(throws: Fault.self) { try proxy(["all_proxy": text], "https://a") }
    }

    @Test func loopbackIsNeverProxied() throws {
        for host in ["localhost:5000", "127.0.0.1", "127.8.8.8", "[::1]"] { #expect(try proxy(["all_proxy": "p:1"], "http://" + host) == nil) }
    }

    @Test(arguments: [
        ("*", "a.example", true), ("example", "example", true), ("example", "a.example", true), ("example", "anexample", false), (".example", "a.b.example", true),
        ("*.example", "a.example", true), ("a.example:5000", "a.example:5000", true), ("a.example:5000", "a.example", false), ("10.0.0.0/8", "10.9.9.9:80", true),
        ("10.0.0.0/8", "11.0.0.1", false), ("10.0.0.0/9", "10.128.0.1", false), ("0.0.0.0/0", "8.8.8.8", true), ("10.0.0.1", "10.0.0.1", true),
        ("10.0.0.1:81", "10.0.0.1", false), ("fe80::/10", "[fe90::1]:80", true), ("fe80::/10", "[fec0::1]", false), ("::/0", "10.0.0.1", false),
        ("x, EXAMPLE ,y", "a.Example", true), ("10.0.0.0/33", "10.0.0.0", false), ("10.0.0.0/-1", "10.0.0.0", false), (" , ", "a", false),
    ])
    func exceptionsAreHonoured(_ exceptions: String, _ host: String, _ isExempt: Bool) throws {
        #expect(try (proxy(["all_proxy": "p:1", "no_proxy": exceptions], "http://" + host) == nil) == isExempt)
        #expect(try (proxy(["all_proxy": "p:1", "NO_PROXY": exceptions], "http://" + host) == nil) == isExempt)
    }
}
