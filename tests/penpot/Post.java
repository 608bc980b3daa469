import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;
import java.time.Duration;

/** Calls a hook as Penpot's backend does: the JDK's client with its defaults, one HEAD, two POSTs. */
class Post {
    public static void main(String[] args) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(args[0]));
        HttpRequest head = request.copy()
            .timeout(Duration.ofSeconds(3))
            .method("HEAD", BodyPublishers.noBody())
            .build();
        HttpRequest post = request.copy()
            .timeout(Duration.ofSeconds(4))
            .header("content-type", "application/json")
            .header("user-agent", "penpot/2.17.0")
            .POST(BodyPublishers.ofFile(Path.of(args[1])))
            .build();
        for (HttpRequest each : new HttpRequest[] {head, post, post}) {
            int status = client.send(each, BodyHandlers.ofInputStream()).statusCode();
            System.out.println(each.method() + " " + status);
        }
    }
}
